#pragma once

#include <string_view>

#include "base/result.h"
#include "proto/event.pb.h"
#include "proto/execution.pb.h"

namespace feedvault {

/// A message of feed `events`, typed. kCorruption when the bytes are not one.
Result<event> decode_event(std::string_view data);

/// A message of feed `executions`, typed.
Result<execution> decode_execution(std::string_view data);

}  // namespace feedvault
