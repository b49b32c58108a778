#include "models/build/tensor_reader.h"

#include <fmt/format.h>

#include "kernels/ops/packed_weights.h"

namespace pelton {
namespace {

bool HasShape(const TensorInfo& tensor, std::initializer_list<int64_t> sizes) {
  if (tensor.rank != sizes.size()) return false;
  size_t i = 0;
  for (int64_t size : sizes) {
    if (tensor.sizes[i++] != static_cast<uint64_t>(size)) return false;
  }
  return true;
}

}  // namespace

void TensorReader::Fail(const TensorInfo* tensor, const std::string& name,
                        const std::string& problem) {
  if (!status_.ok()) return;
  const std::string file = tensor != nullptr            ? weights_.FileOf(*tensor)
                           : weights_.tensors().empty() ? std::string("model")
                                                        : weights_.FileOf(weights_.tensors()[0]);
  status_ = DataLoss(fmt::format("{}: tensor {}: {}", file, name, problem));
}

const TensorInfo* TensorReader::Find(const std::string& name) {
  const TensorInfo* tensor = weights_.Find(name);
  if (tensor == nullptr) Fail(nullptr, name, "found none, expected one");
  return tensor;
}

ValueId TensorReader::Matrix(const std::string& name, int64_t rows, int64_t cols) {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr || !status_.ok()) return kNoValue;
  if (!HasShape(*tensor, {rows, cols})) {
    Fail(tensor, name,
         fmt::format("found shape {}, expected [{}, {}]", tensor->ShapeText(), rows, cols));
    return kNoValue;
  }
  if (!PanelFormatOf(tensor->dtype)) {
    Fail(tensor, name,
         fmt::format("found type {}, expected one that can be multiplied (F32, F16, BF16, Q4_0 to "
                     "Q8_0, Q2_K to Q6_K, IQ4_NL)",
                     DTypeName(tensor->dtype)));
    return kNoValue;
  }
  return graph_->AddStored({name, tensor->dtype, rows, cols, tensor->data});
}

ValueId TensorReader::List(const std::string& name, int64_t size) {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr || !status_.ok()) return kNoValue;
  if (!HasShape(*tensor, {size})) {
    Fail(tensor, name, fmt::format("found shape {}, expected [{}]", tensor->ShapeText(), size));
    return kNoValue;
  }
  if (tensor->dtype != DType::kF32 && tensor->dtype != DType::kF16 &&
      tensor->dtype != DType::kBF16) {
    Fail(tensor, name,
         fmt::format("found type {}, expected F32, F16 or BF16", DTypeName(tensor->dtype)));
    return kNoValue;
  }
  std::vector<float> numbers(static_cast<size_t>(size));
  DecodeRow(tensor->dtype, tensor->data.data(), numbers.size(), numbers.data());
  return graph_->AddNumbers(name, std::move(numbers));
}

}  // namespace pelton
