#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/ir/graph.h"
#include "models/weights/weight_source.h"

namespace pelton {

// Rows of a matrix that are used by themselves (q, k and v; gate and up).
struct MatrixPart {
  std::string_view name;  // ends the value's name
  int64_t rows;
};

// The blocks of weights that share a scale in checkpoints of F8_E4M3, as config.json states them; 0
// where it states none.
struct Fp8Blocks {
  uint32_t rows = 0;
  uint32_t cols = 0;
};

// Takes tensors out of a weight source for a graph, checking each. The first failure is kept in
// status(); after it every read gives kNoValue, so that a builder checks once, at its end.
class TensorReader {
 public:
  TensorReader(const WeightSource& weights, Graph* graph, Fp8Blocks fp8_blocks = {})
      : weights_(weights), graph_(graph), fp8_blocks_(fp8_blocks) {}

  bool Has(const std::string& name) const { return weights_.Find(name) != nullptr; }

  // A matrix [rows, cols] of a type that matmuls and embeddings read, as a stored constant.
  // One of F8_E4M3 has its scales in NAME_scale_inv, which multiply in spite of their name: one of
  // F32, BF16 or F8_E8M0 for each block, positive, and none that makes a value infinite.
  // Unimplemented for blocks whose columns are no multiple of 128.
  ValueId Matrix(const std::string& name, int64_t rows, int64_t cols);
  // The parts of a matrix [heads * sum of parts' rows, cols] whose rows lie head by head, one part
  // after the other: each a constant of `heads` tensors, which borrow their rows. Empty: it failed.
  std::vector<ValueId> MatrixParts(const std::string& name, const std::vector<MatrixPart>& parts,
                                   int64_t heads, int64_t cols);
  // Columns of a matrix [rows, sum of cols], part after part, each a constant whose bytes the graph
  // owns: plain floats as they are, other types as F32. Empty: it failed.
  std::vector<ValueId> MatrixColumns(const std::string& name, int64_t rows,
                                     std::initializer_list<int64_t> cols);
  // `count` matrices [rows, cols] of one type as a constant of so many groups: of one tensor
  // [count, rows, cols], or of as many tensors, of which `name_of` says the names.
  ValueId JoinedMatrices(const std::string& name, int64_t count, int64_t rows, int64_t cols);
  ValueId Matrices(const std::function<std::string(int64_t)>& name_of, int64_t count, int64_t rows,
                   int64_t cols);
  // Columns first, first + step, ... of `count` matrices of plain floats as rows: of one tensor
  // [count, cols, rows * step] as a constant of `count` groups [rows, cols], whose bytes the graph
  // owns.
  ValueId TransposedMatrices(const std::string& name, int64_t count, int64_t rows, int64_t cols,
                             int64_t first, int64_t step);
  // Rows first, first + step, ... of `count` matrices of MXFP4, as folders hold them: NAME_blocks,
  // U8 [count, rows * step, cols / 32, 16], has two columns a byte, NAME_scales an exponent for
  // each block. A constant as above, in GGUF's blocks.
  ValueId Float4Matrices(const std::string& name, int64_t count, int64_t rows, int64_t cols,
                         int64_t first, int64_t step);
  // The same before it is in the graph, for a builder that needs parts of it, of one tensor of
  // these sizes; all but the last are rows. nullopt: it failed.
  std::optional<StoredTensor> Stored(const std::string& name, std::initializer_list<int64_t> sizes);
  // A list of `size` plain floats, or a tensor of these sizes end to end; empty: it failed.
  std::vector<float> Floats(const std::string& name, int64_t size) { return Floats(name, {size}); }
  std::vector<float> Floats(const std::string& name, std::initializer_list<int64_t> sizes);
  // A table [rows, cols] of I32 or I64 whose rows hold distinct numbers from 0 to below `limit`.
  ValueId Choices(const std::string& name, int64_t rows, int64_t cols, int64_t limit);
  // Floats as a constant.
  ValueId List(const std::string& name, int64_t size);

  const Status& status() const { return status_; }

 private:
  const TensorInfo* Find(const std::string& name);
  void Fail(const TensorInfo* tensor, const std::string& name, const std::string& problem);
  std::optional<BlockScales> ScalesOf(const TensorInfo& tensor, const std::string& name);
  ValueId AddOwned(std::string name, DType dtype, int64_t count, int64_t rows, int64_t cols,
                   std::shared_ptr<const std::vector<std::byte>> bytes);
  bool CheckScales(const TensorInfo& scales, const std::string& name, size_t count);

  const WeightSource& weights_;
  Graph* graph_;
  Fp8Blocks fp8_blocks_;
  Status status_;
};

}  // namespace pelton
