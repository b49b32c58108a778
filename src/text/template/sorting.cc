#include "text/template/sorting.h"

#include <algorithm>

#include "text/template/operators.h"

namespace pelton::jinja {

// A bottom-up merge sort: comparisons can fail, and need not be consistent (NaN), which the
// standard algorithms do not allow.
Result<std::vector<size_t>> SortedOrder(RenderContext& context, const std::vector<Value>& keys,
                                        bool reverse) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<size_t> merged(keys.size());
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t start = 0; start < order.size(); start += 2 * width) {
      const size_t middle = std::min(start + width, order.size());
      const size_t end = std::min(start + 2 * width, order.size());
      size_t left = start;
      size_t right = middle;
      for (size_t out = start; out < end; ++out) {
        bool take_right = left >= middle;
        if (!take_right && right < end) {
          const Value& a = keys[order[left]];
          const Value& b = keys[order[right]];
          ASSIGN_OR_RETURN(take_right, reverse ? LessThan(context, a, b) : LessThan(context, b, a));
        }
        merged[out] = take_right ? order[right++] : order[left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

}  // namespace pelton::jinja
