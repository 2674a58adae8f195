"""How well one vector a document stands in for its many: README.md says what is measured."""
