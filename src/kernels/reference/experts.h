#pragma once

#include <vector>

#include "kernels/ops/experts.h"

namespace pelton::reference {

// One row of a router by its definition in f64: the K chosen, best first, and their weights.
struct Choice {
  size_t expert;
  double weight;
};
std::vector<Choice> Route(const RouteArgs& args, size_t row);

}  // namespace pelton::reference
