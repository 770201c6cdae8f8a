#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/http/message.h"

namespace feedvault::gateway {

/// An error as problem details (RFC 9457): what is wrong with this request, and what would be
/// right, in `detail`.
Response problem(int status, std::string_view detail);

/// The same for a failure of ours: kNotFound 404, kInvalidArgument 400, kDuplicate 409, what may
/// work later 503 with Retry-After, else 500.
Response problem(const Status& status);

/// `text` as a JSON string, in quotes, appended. What is not UTF-8 becomes U+FFFD; what ends a
/// <script> or a line in JavaScript is escaped too.
void append_json_string(std::string& json, std::string_view text);

/// An answer of JSON text.
Response json_response(std::string json);

}  // namespace feedvault::gateway
