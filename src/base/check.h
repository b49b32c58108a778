#pragma once

namespace pelton {

// Prints file, line and the broken invariant, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const char* invariant);

}  // namespace pelton

// For our own bugs only: no user, file or peer may be able to break the condition.
#define PELTON_CHECK(condition, invariant)                              \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::pelton::CheckFailed(__FILE__, __LINE__, #condition, invariant); \
  } while (false)

#ifdef NDEBUG
#define PELTON_DCHECK(condition, invariant) \
  do {                                      \
    if (false) (void)(condition);           \
  } while (false)
#else
#define PELTON_DCHECK(condition, invariant) PELTON_CHECK(condition, invariant)
#endif
