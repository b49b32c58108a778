#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "graph/ir/op_kind.h"
#include "graph/ir/shape.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {

// Index of a value in its graph; kNoValue stands for an absent optional input or an unused output.
using ValueId = int32_t;
inline constexpr ValueId kNoValue = -1;

enum class ValueKind : uint8_t { kInput, kConstant, kResult };

// What the elements of a value are.
enum class ElementType : uint8_t {
  kF32,
  kI32,
  kQuantizedRows,  // rows in 8 bits with a scale per 32 (kernels/ops/quantized_rows.h)
  kStored,         // a constant as in the model file, in its own DType
  kPacked,         // a constant in the panels of kernels/ops/packed_weights.h
  kCache,          // no data: orders reads of a layer's KV cache after its writes
};

// A tensor of the model file, or some of its rows: rows of row_bytes. The graph borrows the data
// and the scales.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  std::span<const std::byte> data;  // empty in graphs that were parsed from text
  BlockScales scales = {};          // of F8_E4M3
};

// Where a constant comes from: stored tensors of one DType laid end to end (or panel by panel, see
// PackArgs), or numbers made when the graph was built or folded.
struct ConstantData {
  std::vector<StoredTensor> tensors;
  bool interleave_panels = false;
  // Matrices of equal shape, one after the other, as of experts or heads: each is made of
  // tensors.size() / groups tensors and laid out by itself.
  int64_t groups = 1;
  std::vector<float> numbers;
  // W8: packed so, from whatever the tensors are. Its readers' rows must be rotated.
  std::optional<DType> packed_as = {};
  // The constant whose matrices these are, transposed; kNoValue: none that is known.
  ValueId transposed_from = kNoValue;

  // The format of its panels once it is packed. Requires: it is made of tensors.
  DType PackedDType() const { return packed_as.value_or(tensors[0].dtype); }
};

struct Value {
  std::string name;  // unique in the graph
  ValueKind kind = ValueKind::kResult;
  ElementType type = ElementType::kF32;
  Shape shape;
  ConstantData constant;  // for kConstant
};

using Attribute = std::variant<int64_t, double, std::string>;

struct Node {
  OpKind kind;
  std::vector<ValueId> inputs;   // as many as the schema's max_inputs, kNoValue where absent
  std::vector<ValueId> outputs;  // as many as the schema has, kNoValue where nobody reads it
  std::map<std::string, Attribute, std::less<>> attributes;

  int64_t Int(std::string_view name) const;
  double Number(std::string_view name) const;  // an integer attribute is a number too
  const std::string& Text(std::string_view name) const;
};

// Ops whose second input is a weight matrix, or several, that their first is multiplied by.
bool IsMatmul(OpKind kind);

// Places of an op's inputs that are read in panels: the weight of a matmul, those that expanded
// attention makes keys and values by.
std::vector<size_t> PackedInputs(OpKind kind);

// Whether an op has an effect beside its results.
bool WritesCache(OpKind kind);

// A model as a list of ops in an order in which they can run. Values are written once. Built by one
// thread; passes change it in place.
class Graph {
 public:
  std::string name;

  ValueId AddInput(std::string value_name, ElementType type, Shape shape);
  ValueId AddStored(StoredTensor tensor);
  ValueId AddNumbers(const std::string& value_name, std::vector<float> numbers);
  // Requires: `shape` is that of the data.
  ValueId AddConstant(std::string value_name, ElementType type, Shape shape, ConstantData data);
  // A result value without a producer yet; its type and shape are inferred when a node is added.
  ValueId AddResult(std::string value_name);

  // Appends a node, makes its outputs and infers their shapes. Missing optional inputs are filled
  // in. Requires: inputs that fit the op (a model builder checks its file before).
  ValueId Add(OpKind kind, std::vector<ValueId> inputs,
              std::map<std::string, Attribute, std::less<>> attributes = {});
  std::vector<ValueId> AddMulti(OpKind kind, std::vector<ValueId> inputs,
                                std::map<std::string, Attribute, std::less<>> attributes = {});

  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  Value& value(ValueId id) { return values_[static_cast<size_t>(id)]; }
  size_t num_values() const { return values_.size(); }

  std::vector<Node> nodes;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  // Bytes of constants that are not in the model file. Nobody reads them once weights are packed.
  std::vector<std::shared_ptr<const std::vector<std::byte>>> owned;

  // Name `base`, or `base` with a number where that is taken.
  std::string UniqueName(std::string_view base) const;
  std::optional<ValueId> FindValue(std::string_view value_name) const;

  // Replaces every read of `from`, graph outputs included, by `to`.
  void ReplaceReads(ValueId from, ValueId to);

 private:
  std::vector<Value> values_;
  std::map<std::string, ValueId, std::less<>> by_name_;
};

// Who makes and who reads each value; made anew after a change.
class Uses {
 public:
  explicit Uses(const Graph& graph);

  // Index of the node that makes `id`, or -1 for inputs and constants.
  int Producer(ValueId id) const { return producer_[static_cast<size_t>(id)]; }
  // Nodes that read `id`, in order; a node that reads it twice is listed twice.
  const std::vector<int>& Readers(ValueId id) const { return readers_[static_cast<size_t>(id)]; }
  bool IsOutput(ValueId id) const { return is_output_[static_cast<size_t>(id)]; }
  // Whether exactly one node reads it and the graph does not give it out.
  bool OnlyRead(ValueId id) const { return Readers(id).size() == 1 && !IsOutput(id); }

 private:
  std::vector<int> producer_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> is_output_;
};

}  // namespace pelton
