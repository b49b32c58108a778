#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/template/value.h"

// Numbers as Python writes, reads and compares them.
namespace pelton::jinja {

std::string IntText(Int value);
// The shortest text that reads back as `value`: 1.0, 1e+20, 0.1, nan, inf.
std::string FloatText(double value);
// Digits of `value` in a base of 2 to 36, lower case, without sign.
std::string MagnitudeText(Int value, unsigned base);

// int(text, base): white space around it, a sign, underscores between digits, and a prefix that
// suits the base (base 0: the prefix decides). Empty if the text is no such number or too large.
std::optional<Int> ParseInt(std::string_view text, int base);
// float(text), including inf and nan.
std::optional<double> ParseFloat(std::string_view text);

// `value` as a machine integer, if it fits.
std::optional<int64_t> ToInt64(Int value);
// The integer part, if it fits. Requires: value is finite.
std::optional<Int> TruncateToInt(double value);

// The value rounded half to even at `digits` decimal places; exact, as Python rounds.
double RoundFloat(double value, int64_t digits);

// Order of two numbers without loss: int against float compares exact values. NaN is unordered.
enum class Order { kLess, kEqual, kGreater, kUnordered };
Order CompareNumbers(const Value& a, const Value& b);

}  // namespace pelton::jinja
