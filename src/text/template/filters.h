#pragma once

#include <string_view>

#include "text/template/interpreter.h"

namespace pelton::jinja {

// A filter: value | name(arguments).
struct Filter {
  std::string_view name;
  Result<Value> (*apply)(Interpreter& vm, const Value& input, Arguments& arguments);
  bool is_constant_time = false;  // does not read the whole of its input
};

// Null if there is none.
const Filter* FindFilter(std::string_view name);

// The filters by subject; each table is sorted by name.
struct FilterTable {
  const Filter* begin;
  const Filter* end;
};
FilterTable TextFilters();      // filters_text.cc
FilterTable MarkupFilters();    // filters_markup.cc
FilterTable SequenceFilters();  // filters_sequence.cc
FilterTable LazyFilters();      // filters_lazy.cc
FilterTable NumberFilters();    // filters_number.cc

}  // namespace pelton::jinja
