// The payload of a request to the history service: whatever it is, the page that it asks for is
// within the service's bounds, and a refusal is one line that fits into a header.

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "gateway/history_request.h"

namespace feedvault::gateway {
namespace {

void check_history_request(std::string_view payload) {
  const auto ask = parse_history_request(payload);
  if (!ask.has_value()) {
    const std::string& reason = ask.error().message();
    CHECK(ask.error().code() == StatusCode::kInvalidArgument);
    CHECK(!reason.empty() && reason.size() < 300);
    CHECK(std::all_of(reason.begin(), reason.end(), [](char c) { return c >= 0x20 && c < 0x7F; }));
    return;
  }
  CHECK(ask->page.range.first >= 1);
  CHECK(ask->page.messages_max <= kHistoryMessagesMax);
  CHECK(ask->page.bytes_max <= kHistoryBytesMax);
  CHECK(!payload.empty() || (!ask->from_time_us && !ask->to_time_us));
}

}  // namespace
}  // namespace feedvault::gateway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  feedvault::gateway::check_history_request({reinterpret_cast<const char*>(data), size});
  return 0;
}
