#pragma once

#include <string>
#include <string_view>

#include "gateway/feed.h"
#include "storage/catalogue_reader.h"

namespace feedvault::gateway {

/// A quarantined message, appended; `with_data`: with its bytes in base64.
void append_quarantined_json(const FeedList& feeds,
                             const storage::QuarantinedMessage& message,
                             bool with_data,
                             std::string& json);

/// RFC 4648, 4, with padding.
std::string base64(std::string_view bytes);

}  // namespace feedvault::gateway
