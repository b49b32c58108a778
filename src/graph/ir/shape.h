#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/check.h"

namespace pelton {

// Sizes that are known only when a step runs.
enum class Symbol : uint8_t {
  kOne,        // the constant 1: the size is known now
  kTokens,     // T, rows of the step
  kLogitRows,  // R, rows whose logits are wanted
  kContext,    // C, the largest context of a sequence in the step
};

// A size: factor * symbol.
struct Dim {
  int64_t factor = 0;
  Symbol symbol = Symbol::kOne;

  Dim() = default;
  constexpr Dim(int64_t size) : factor(size) {}  // NOLINT(google-explicit-constructor)
  constexpr Dim(int64_t f, Symbol s) : factor(f), symbol(s) {}

  bool constant() const { return symbol == Symbol::kOne; }
  bool operator==(const Dim&) const = default;
};

// Values of the symbols, for one step or for the largest one.
struct SymbolValues {
  size_t tokens = 1;
  size_t logit_rows = 1;
  size_t context = 1;

  size_t Of(Symbol symbol) const {
    switch (symbol) {
      case Symbol::kOne:
        return 1;
      case Symbol::kTokens:
        return tokens;
      case Symbol::kLogitRows:
        return logit_rows;
      case Symbol::kContext:
        return context;
    }
    return 1;
  }
  size_t Of(Dim dim) const { return static_cast<size_t>(dim.factor) * Of(dim.symbol); }
};

// Every value of a graph is a list or a matrix of rows: rank 1 or 2.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims) {
    PELTON_CHECK(dims.size() <= dims_.size(), "a shape has at most two dimensions");
    for (Dim d : dims) dims_[rank_++] = d;
  }

  size_t rank() const { return rank_; }
  Dim operator[](size_t i) const { return dims_[i]; }
  // Rows and columns; a list is one row.
  Dim rows() const { return rank_ == 2 ? dims_[0] : Dim(1); }
  Dim cols() const { return rank_ == 0 ? Dim(1) : dims_[rank_ - 1]; }
  bool operator==(const Shape&) const = default;

 private:
  std::array<Dim, 2> dims_;
  size_t rank_ = 0;
};

// "576", "T", "9*C"; "[T, 576]".
std::string ToText(Dim dim);
std::string ToText(const Shape& shape);

}  // namespace pelton
