"""Drop-in replacements for other libraries: change the import, keep the script.

>>> from vicinal.compat import hnswlib            # import hnswlib
>>> from vicinal.compat import faiss              # import faiss

The modules load when they are imported, and need nothing but numpy. Their files are `.vcn` files, which `vicinal.open` reads.
"""
