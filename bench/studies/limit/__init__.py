"""What one vector a text cannot tell apart, and what several can: README.md says what is measured."""
