#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/ops/matmul_choices.h"

namespace pelton {

// What was measured on one machine and is followed there: the content of a tuning file.
struct Tuning {
  std::string processor;  // CpuModelName() and CpuFeatureNames() of the machine
  std::string features;
  std::vector<MatmulChoice> matmul;

  bool operator==(const Tuning&) const = default;
};

// Choices for this machine.
Tuning TuningOfThisMachine(std::vector<MatmulChoice> matmul);

// As JSON, which ParseTuning reads back.
std::string TuningText(const Tuning& tuning);

// InvalidArgument, naming the field, for text that is not of the form of TuningText, of another
// version, or larger than a list of all choices could be. Whether the choices can be followed on
// this machine is for SetMatmulChoices to say.
Result<Tuning> ParseTuning(std::string_view text);

// NotFound without a file, else as ParseTuning, naming the path.
Result<Tuning> ReadTuning(const std::string& path);

// Replaces the file at once, making its folder where there is none.
Status WriteTuning(const std::string& path, const Tuning& tuning);

// Follows the file from now on. InvalidArgument if it is of another machine; else as ReadTuning and
// SetMatmulChoices. Nothing is followed then.
Status ApplyTuning(const std::string& path);

// Where pelton tune writes and every other command looks: $XDG_CACHE_HOME/pelton/tuning.json. No
// thread may change the environment meanwhile.
std::string DefaultTuningFile();

}  // namespace pelton
