#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/ir/graph.h"
#include "models/weights/weight_source.h"

namespace pelton {

// Takes tensors out of a weight source for a graph, checking each. The first failure is kept in
// status(); after it every read gives kNoValue, so that a builder checks once, at its end.
class TensorReader {
 public:
  TensorReader(const WeightSource& weights, Graph* graph) : weights_(weights), graph_(graph) {}

  bool Has(const std::string& name) const { return weights_.Find(name) != nullptr; }

  // A matrix [rows, cols] of a type that matmuls and embeddings read, as a stored constant.
  ValueId Matrix(const std::string& name, int64_t rows, int64_t cols);
  // A list of `size` plain floats, as numbers.
  ValueId List(const std::string& name, int64_t size);

  const Status& status() const { return status_; }

 private:
  const TensorInfo* Find(const std::string& name);
  void Fail(const TensorInfo* tensor, const std::string& name, const std::string& problem);

  const WeightSource& weights_;
  Graph* graph_;
  Status status_;
};

}  // namespace pelton
