#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "text/template/render_context.h"

namespace pelton::jinja {

// Builds a text piece by piece. Fails before it outgrows the memory limit, and pays for the bytes.
class TextBuilder {
 public:
  explicit TextBuilder(RenderContext& context) : context_(context) {}

  Status Add(std::string_view piece) {
    text_ += piece;
    unpaid_ += piece.size();
    if (unpaid_ < RenderContext::kBytesPerTick) return OkStatus();
    const size_t bytes = std::exchange(unpaid_, 0);
    if (text_.size() > context_.limits().max_value_bytes) return context_.Reserve(text_.size());
    return context_.Charge(bytes);
  }
  Status AddRepeated(char c, size_t count) {
    if (count > context_.limits().max_value_bytes) return context_.Reserve(count);
    return Add(std::string(count, c));
  }

  RenderContext& context() { return context_; }
  size_t size() const { return text_.size(); }
  std::string Take() { return std::move(text_); }

 private:
  RenderContext& context_;
  std::string text_;
  size_t unpaid_ = 0;
};

}  // namespace pelton::jinja
