#pragma once

// Model files made in memory, right or wrong, for tests and seeds of fuzzers.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/weights/gguf_metadata.h"

namespace pelton::test {

// Little-endian bytes, appended.
class ByteWriter {
 public:
  template <typename T>
  ByteWriter& Put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
    return *this;
  }
  ByteWriter& Text(std::string_view text) {  // with its length, as GGUF stores strings
    Put<uint64_t>(text.size());
    bytes_ += text;
    return *this;
  }
  ByteWriter& Raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  ByteWriter& AlignTo(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Builds a GGUF file; the public members override what Build() would write.
class GgufWriter {
 public:
  struct Tensor {
    std::string name;
    std::vector<uint64_t> ne;  // fastest first, as in the file
    uint32_t type = 0;
    uint64_t offset = 0;
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  int64_t extra_tensors = 0;  // added to the stated count
  int64_t extra_metadata = 0;
  size_t alignment = 32;
  size_t data_bytes = 0;
  std::vector<Tensor> tensors;

  template <typename T>
  GgufWriter& Scalar(std::string_view key, GgufType type, T value) {
    ++entries_;
    metadata_.Text(key).Put(static_cast<uint32_t>(type)).Put(value);
    return *this;
  }
  GgufWriter& U32(std::string_view key, uint32_t value) {
    return Scalar(key, GgufType::kU32, value);
  }
  GgufWriter& F32(std::string_view key, float value) { return Scalar(key, GgufType::kF32, value); }
  GgufWriter& String(std::string_view key, std::string_view value) {
    ++entries_;
    metadata_.Text(key).Put(static_cast<uint32_t>(GgufType::kString)).Text(value);
    return *this;
  }
  GgufWriter& Strings(std::string_view key, const std::vector<std::string>& values) {
    ArrayHead(key, GgufType::kString, values.size());
    for (const std::string& value : values) metadata_.Text(value);
    return *this;
  }
  template <typename T>
  GgufWriter& Array(std::string_view key, GgufType type, const std::vector<T>& values) {
    ArrayHead(key, type, values.size());
    for (const T& value : values) metadata_.Put(value);
    return *this;
  }
  // The head of an array whose elements the caller appends, or leaves out.
  GgufWriter& ArrayHead(std::string_view key, GgufType type, uint64_t count) {
    ++entries_;
    metadata_.Text(key).Put(static_cast<uint32_t>(GgufType::kArray));
    metadata_.Put(static_cast<uint32_t>(type)).Put(count);
    return *this;
  }
  GgufWriter& RawMetadata(const std::function<void(ByteWriter*)>& write) {
    ++entries_;
    write(&metadata_);
    return *this;
  }
  GgufWriter& Add(std::string name, std::vector<uint64_t> ne, uint32_t type, uint64_t offset) {
    tensors.push_back({std::move(name), std::move(ne), type, offset});
    return *this;
  }

  std::string Build() const {
    ByteWriter out;
    out.Raw(magic).Put(version);
    out.Put<uint64_t>(tensors.size() + static_cast<uint64_t>(extra_tensors));
    out.Put<uint64_t>(entries_ + static_cast<uint64_t>(extra_metadata));
    out.Raw(metadata_.bytes());
    for (const Tensor& tensor : tensors) {
      out.Text(tensor.name).Put(static_cast<uint32_t>(tensor.ne.size()));
      for (const uint64_t size : tensor.ne) out.Put(size);
      out.Put(tensor.type).Put(tensor.offset);
    }
    out.AlignTo(alignment).Raw(std::string(data_bytes, '\1'));
    return out.bytes();
  }

 private:
  uint64_t entries_ = 0;
  ByteWriter metadata_;
};

// The metadata of a tiny llama that ConfigFromGguf accepts: 2 layers, 8 heads of 4 lanes, 2 KV
// heads, a vocabulary of 16.
inline GgufWriter TinyLlamaGguf() {
  GgufWriter writer;
  writer.String("general.architecture", "llama")
      .String("general.name", "tiny")
      .U32("llama.block_count", 2)
      .U32("llama.context_length", 128)
      .U32("llama.embedding_length", 32)
      .U32("llama.feed_forward_length", 64)
      .U32("llama.attention.head_count", 8)
      .U32("llama.attention.head_count_kv", 2)
      .F32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .U32("llama.vocab_size", 16);
  return writer;
}

// The metadata of a tiny DeepSeek that ConfigFromGguf accepts: 4 layers, the first of them dense, 8
// heads of 12 + 4 lanes. `others` replace integers by their keys without "deepseek2.".
inline GgufWriter TinyDeepseek2Gguf(const std::map<std::string, uint32_t>& others = {}) {
  std::map<std::string, uint32_t> integers = {{"block_count", 4},
                                              {"embedding_length", 64},
                                              {"feed_forward_length", 96},
                                              {"context_length", 256},
                                              {"attention.head_count", 8},
                                              {"attention.head_count_kv", 1},
                                              {"vocab_size", 100},
                                              {"attention.kv_lora_rank", 16},
                                              {"attention.key_length", 20},
                                              {"attention.value_length", 16},
                                              {"attention.key_length_mla", 16},
                                              {"attention.value_length_mla", 10},
                                              {"rope.dimension_count", 4},
                                              {"leading_dense_block_count", 1},
                                              {"expert_count", 8},
                                              {"expert_used_count", 3},
                                              {"expert_shared_count", 2},
                                              {"expert_feed_forward_length", 32},
                                              {"expert_gating_func", 2}};
  for (const auto& [key, value] : others) integers[key] = value;
  GgufWriter writer;
  writer.String("general.architecture", "deepseek2");
  for (const auto& [key, value] : integers) writer.U32("deepseek2." + key, value);
  writer.F32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f)
      .F32("deepseek2.expert_weights_scale", 2.5f)
      .Scalar("deepseek2.expert_weights_norm", GgufType::kBool, uint8_t{1});
  return writer;
}

// A safetensors file of a header and data.
inline std::string SafetensorsImageOf(std::string_view header, std::string_view data) {
  ByteWriter out;
  out.Text(header).Raw(data);
  return out.bytes();
}

// A safetensors file of tensors, one after the other.
class SafetensorsWriter {
 public:
  // `bytes` is the tensor's data, as long as its type and sizes say.
  SafetensorsWriter& Add(std::string_view name, std::string_view dtype,
                         const std::vector<uint64_t>& sizes, std::string_view bytes) {
    header_ += header_.empty() ? "{" : ",";
    header_ += "\"" + std::string(name) + R"(":{"dtype":")" + std::string(dtype) + R"(","shape":[)";
    for (size_t i = 0; i < sizes.size(); ++i) {
      header_ += (i > 0 ? "," : "") + std::to_string(sizes[i]);
    }
    header_ += R"(],"data_offsets":[)" + std::to_string(data_.size()) + ",";
    data_ += bytes;
    header_ += std::to_string(data_.size()) + "]}";
    return *this;
  }
  std::string Build() const { return SafetensorsImageOf(header_ + "}", data_); }

 private:
  std::string header_;
  std::string data_;
};

}  // namespace pelton::test
