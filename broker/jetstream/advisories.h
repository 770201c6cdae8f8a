#pragma once

#include <cstdint>
#include <string>

#include "broker/streams/output.h"

namespace feedvault::broker::jetstream {

struct AdvisoryText {
  std::string subject;  // "$JS.EVENT.ADVISORY.STREAM.CREATED.S"
  std::string payload;  // JSON
};

/// `id`: unique, for those who collect them. `unix_ns`: now.
AdvisoryText advisory_text(const streams::Advisory& event,
                           const std::string& id,
                           std::int64_t unix_ns,
                           const std::string& domain);

}  // namespace feedvault::broker::jetstream
