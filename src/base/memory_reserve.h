#pragma once

#include <cstddef>

namespace pelton {

// Sets memory aside for the moment in which none is left. Whoever asks then gets it from what is
// set aside, wherever that is, so that what runs can end in order: destructors and libraries may
// need memory where they cannot fail. Once for the process, before it has threads.
void ReserveMemory(size_t bytes);

// Whether the reserve was needed and cannot be set aside again so far: the time to take on nothing
// new. False without a reserve. Any thread; tries to set it aside, which costs an allocation.
bool MemoryIsShort();

}  // namespace pelton
