// The text form of graphs: what parses verifies or is refused, prints, and parses back to the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "graph/ir/text.h"
#include "graph/ir/verify.h"
#include "graph/passes/passes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pelton;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Result<Graph> graph = ParseGraph(text);
  if (!graph.ok()) return 0;
  const std::string printed = GraphToText(*graph);
  const Result<Graph> again = ParseGraph(printed);
  if (!again.ok() || GraphToText(*again) != printed) std::abort();
  if (!VerifyGraph(*graph).ok()) return 0;
  // Every pass keeps a verified graph verified.
  const PassOptions options{.fusion_level = static_cast<int>(size % 4)};
  if (!RunPasses(options, *graph).ok()) std::abort();
  return 0;
}
