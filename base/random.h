#pragma once

#include <cstddef>

namespace feedvault {

/// Fills `bytes` with the kernel's random numbers, which are fit for secrets. Any thread.
void fill_random(void* bytes, std::size_t size);

}  // namespace feedvault
