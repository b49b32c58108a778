#pragma once

namespace pelton {

// Figures are taken of a quiet machine if others have less than this share of it.
inline constexpr double kQuietShare = 0.05;

// How busy others keep this machine, from its making on: other processes, and the machines that
// share the processors with this one.
class MachineLoad {
 public:
  MachineLoad();
  // Their share of the time of all processors, 0 to 1; 0 where the system does not tell.
  double OthersShare() const;

 private:
  double start_s_;       // on the wall's clock
  double busy_start_s_;  // of all processors
  double own_start_s_;   // of this process
};

}  // namespace pelton
