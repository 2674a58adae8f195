#include <cstdio>

#include "vicinal/tools/command.hpp"
#include "vicinal/tools/command_line.hpp"

int main(int argc, char** argv) {
  try {
    return vicinal::tools::run_command_line(argc, argv);
  } catch (...) {  // only an error while reporting an error comes here
    std::fputs("vicinal: not enough memory\n", stderr);
    return vicinal::tools::exit_bad_input;
  }
}
