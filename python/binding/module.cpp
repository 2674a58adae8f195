#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "vicinal/core/container.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/version.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/spec.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/tools/command_line.hpp"
#include "arguments.hpp"
#include "encoders.hpp"
#include "errors.hpp"
#include "explore.hpp"
#include "hits.hpp"
#include "index.hpp"
#include "interruptible.hpp"
#include "live_index.hpp"
#include "pages.hpp"
#include "token_tools.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

using IdMatrixArray = nb::ndarray<const Id, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

double recall_of(const IdMatrixArray& found, const IdMatrixArray& truth, std::size_t k) {
  const nb::gil_scoped_release released;
  return recall({found.data(), found.shape(0), found.shape(1)},
                {truth.data(), truth.shape(0), truth.shape(1)}, k);
}

int command_line(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const nb::gil_scoped_release released;
  return tools::run_command_line(static_cast<int>(arguments.size()), pointers.data());
}

}  // namespace
}  // namespace vicinal::python

NB_MODULE(_vicinal, module) {
  using namespace vicinal::python;
  module.attr("__version__") = std::string(vicinal::version);
  bind_errors(module);
  bind_hits(module);
  bind_pages(module);
  bind_index(module);
  bind_live_index(module);
  bind_explore(module);
  bind_fde_encoder(module);
  bind_google_fde(module);
  bind_token_head(module);
  bind_token_tools(module);
  module.def("recall", &recall_of, "found"_a, "truth"_a, "k"_a);
  module.def(
      "canonical_spec", [](const std::string& spec) { return vicinal::to_string(vicinal::parse_spec(spec)); },
      "spec"_a);
  module.def(
      "explain_spec",
      [](const std::string& spec, std::size_t dim) {
        return vicinal::explain(vicinal::parse_spec(spec), dim);
      },
      "spec"_a, "dim"_a);
  module.def(
      "kernels", [] { return std::string(vicinal::kernels().name); }, "The instruction set in use.");
  module.def(
      "verify",
      [](nb::handle path) {
        const auto file = path_of(path);
        run_interruptibly([&](const Job&) {
          const auto container = vicinal::Container::open(file, vicinal::OpenMode::map);
          container.verify_checksums();
          static_cast<void>(vicinal::Index::open(container));
        });
      },
      "path"_a, nb::sig("def verify(path: str | os.PathLike[str]) -> None"));
  module.def("command_line", &command_line, "arguments"_a);
}
