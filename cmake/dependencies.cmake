# Everything comes from Debian 12; `make deps` installs it (packages: deps/debian.txt). Each dependency is linked by exactly
# the component that needs it, privately unless its types are in a public header.
#
# vicinal_dependency(<target> [FIND <CMake lines>] [PKG_CONFIG <module>] [LIBS <linker flags>])
# tells the installed package of Vicinal (cmake/install.cmake) how a consumer finds a library again that a component links:
# the components are static, so even a private dependency is linked by whoever links them.
function(vicinal_dependency target)
  cmake_parse_arguments(A "" "PKG_CONFIG" "FIND;LIBS" ${ARGN})
  set_property(GLOBAL PROPERTY "VICINAL_FIND_${target}" "${A_FIND}")
  set_property(GLOBAL PROPERTY "VICINAL_PKG_CONFIG_${target}" "${A_PKG_CONFIG}")
  set_property(GLOBAL PROPERTY "VICINAL_LIBS_${target}" "${A_LIBS}")
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
vicinal_dependency(Threads::Threads FIND "find_dependency(Threads)" LIBS -pthread)

find_package(hwy REQUIRED)
vicinal_dependency(hwy::hwy FIND "find_dependency(hwy)" PKG_CONFIG libhwy)

find_package(TBB REQUIRED)
vicinal_dependency(TBB::tbb FIND "find_dependency(TBB)" PKG_CONFIG tbb)

find_package(fmt REQUIRED)
vicinal_dependency(fmt::fmt FIND "find_dependency(fmt)" PKG_CONFIG fmt)

find_package(PkgConfig REQUIRED)
pkg_check_modules(libxxhash REQUIRED IMPORTED_TARGET libxxhash)
vicinal_dependency(PkgConfig::libxxhash PKG_CONFIG libxxhash FIND "find_dependency(PkgConfig)"
  "pkg_check_modules(libxxhash REQUIRED QUIET IMPORTED_TARGET libxxhash)")

find_package(cereal REQUIRED)
vicinal_dependency(cereal::cereal FIND "find_dependency(cereal)")

find_package(OpenMP REQUIRED COMPONENTS CXX)
vicinal_dependency(OpenMP::OpenMP_CXX FIND "find_dependency(OpenMP COMPONENTS CXX)" LIBS -fopenmp)

# Whatever BLAS a system has chosen would do for correctness; OpenBLAS with OpenMP is the one whose threads a call can bound.
find_package(OpenMP REQUIRED COMPONENTS CXX)
vicinal_dependency(OpenMP::OpenMP_CXX FIND "find_dependency(OpenMP COMPONENTS CXX)" LIBS -fopenmp)
find_package(BLAS REQUIRED)
vicinal_dependency(BLAS::BLAS FIND "find_dependency(BLAS)" PKG_CONFIG openblas)
list(GET BLAS_LIBRARIES 0 blas_library)
file(REAL_PATH "${blas_library}" blas_library)
if(NOT blas_library MATCHES "openblas-openmp")
  message(WARNING "BLAS is ${blas_library}, not OpenBLAS with OpenMP: matrix products and FAISS's training will be slow, or "
    "start more threads than asked. Install libopenblas-openmp-dev and choose it with update-alternatives.")
endif()

if(VICINAL_FAISS)
  # Debian's faiss package finds neither OpenMP nor BLAS by itself: it expects the target OpenMP::OpenMP_CXX, and names
  # libblas.so and liblapack.so by path.
  find_package(faiss REQUIRED)
  vicinal_dependency(faiss FIND "find_dependency(OpenMP COMPONENTS CXX)" "find_dependency(faiss)"
    LIBS -lfaiss -llapack -lblas -fopenmp)
endif()
