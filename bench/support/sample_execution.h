#pragma once

#include <cstdint>

#include "proto/execution.pb.h"

namespace feedvault::bench {

/// An execution of this moment whose serialised size is `bytes` for every time of this century: the
/// market's name is padded.
execution execution_of_size(std::uint32_t bytes);

}  // namespace feedvault::bench
