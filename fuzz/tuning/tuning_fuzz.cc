#include <cstddef>
#include <cstdint>
#include <string_view>

#include "serving/tuning/tuning_file.h"

// Any text as a tuning file. What is accepted is read again as it was written, and following it is
// either refused with a reason or leaves choices that this processor can run; a refusal is short.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

void CheckRefusal(const Status& status) {
  Check(status.code() == StatusCode::kInvalidArgument);
  Check(!status.message().empty() && status.message().size() < 1000);
}

void RunOne(std::string_view text) {
  const Result<Tuning> tuning = ParseTuning(text);
  if (!tuning.ok()) return CheckRefusal(tuning.status());
  for (const MatmulChoice& choice : tuning->matmul) Check(choice.min_rows > 0);
  const Result<Tuning> again = ParseTuning(TuningText(*tuning));
  Check(again.ok() && again->matmul == tuning->matmul);
  const Status followed = CheckMatmulChoices(tuning->matmul);
  if (!followed.ok()) CheckRefusal(followed);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
