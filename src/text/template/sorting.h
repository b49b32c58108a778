#pragma once

#include <vector>

#include "base/status.h"
#include "text/template/render_context.h"

namespace pelton::jinja {

// The indices of `keys` in ascending order; equal keys keep their order, in reverse too. Fails if
// two keys that have to be compared have no order.
Result<std::vector<size_t>> SortedOrder(RenderContext& context, const std::vector<Value>& keys,
                                        bool reverse);

}  // namespace pelton::jinja
