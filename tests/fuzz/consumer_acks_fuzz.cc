// What clients publish to acknowledge, and the bytes of a consumer's state. The first byte says
// which: a subject, a payload, a duration, a snapshot, or changes.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "broker/streams/ack_ledger.h"
#include "broker/streams/ack_payload.h"
#include "broker/streams/ack_subject.h"
#include "broker/streams/go_duration.h"

using namespace feedvault::broker::streams;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::size_t kLedgerBytesMax = 128;  // a few bytes can mean many messages
const Moment kNow{1'000'000'000'000, 1'700'000'000'000'000'000};

/// What is read is written again as a subject that says the same.
void check_subject(std::string_view text) {
  const auto parsed = parse_ack_subject(text);
  if (!parsed.has_value()) {
    return;
  }
  CHECK(parsed->time_ns >= 0);
  AckSubjectWriter writer(parsed->stream, parsed->consumer);
  const std::string written(writer.write(*parsed));
  const auto again = parse_ack_subject(written);
  CHECK(again.has_value());
  CHECK(again->stream == parsed->stream && again->consumer == parsed->consumer);
  CHECK(again->deliveries == parsed->deliveries && again->stream_seq == parsed->stream_seq);
  CHECK(again->consumer_seq == parsed->consumer_seq && again->pending == parsed->pending);
}

void check_payload(std::string_view text) {
  const AckPayload parsed = parse_ack_payload(text);
  CHECK(parsed.argument.size() <= text.size());
  CHECK(parsed.delay_ns == 0 || (parsed.kind == AckKind::kNak && parsed.argument.empty()));
}

void check_duration(std::string_view text) {
  const auto parsed = parse_go_duration(text);
  if (parsed.has_value()) {
    // Fractions are of doubles, so what was written is exact and what was read may not be.
    const auto again = parse_go_duration(format_go_duration(*parsed));
    CHECK(again.has_value());
    const std::int64_t off = *again > *parsed ? *again - *parsed : *parsed - *again;
    CHECK(off <= 1'000);
  }
}

void check_ledger(const AckLedger& ledger) {
  CHECK(ledger.floor().stream <= ledger.delivered().stream);
  CHECK(ledger.floor().consumer <= ledger.delivered().consumer);
  std::size_t pending = 0;
  ledger.pending().for_each([&](const PendingAck& entry) {
    CHECK(entry.seq > ledger.floor().stream && entry.seq <= ledger.delivered().stream);
    CHECK(ledger.needs(entry.seq));
    ++pending;
  });
  CHECK(pending == ledger.pending().size());
  AckLedger again(ledger.policy());
  CHECK(again.load_snapshot(ledger.snapshot(kNow), kNow).ok());
  CHECK(again.delivered() == ledger.delivered() && again.floor() == ledger.floor());
  CHECK(again.pending().size() == pending);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  const std::string text(data + 1, data + size);
  AckLedger ledger(data[0] % 2 == 0 ? AckPolicy::kExplicit : AckPolicy::kAll);
  switch (data[0]) {
    case 's':
      check_subject(text);
      break;
    case 'p':
      check_payload(text);
      break;
    case 'd':
      check_duration(text);
      break;
    case '0':
    case '1':
      if (text.size() <= kLedgerBytesMax) {
        static_cast<void>(ledger.load_snapshot(text, kNow));
        check_ledger(ledger);
      }
      break;
    default:
      if (text.size() <= kLedgerBytesMax) {
        ledger.start(1, 0);
        ledger.clear_changes();
        static_cast<void>(ledger.load_change(text, kNow));
        check_ledger(ledger);
      }
  }
  return 0;
}
