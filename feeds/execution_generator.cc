#include <algorithm>
#include <vector>

#include "feeds/dice.h"
#include "feeds/generator.h"
#include "proto/execution.pb.h"

namespace feedvault {
namespace {

struct Listing {
  const char* symbol;
  const char* market;
  int start_cents;
};

constexpr Listing kListings[] = {
    {"AAPL", "NASDAQ", 22'150},
    {"MSFT", "NASDAQ", 41'230},
    {"NVDA", "NASDAQ", 12'480},
    {"GOOG", "NASDAQ", 17'590},
    {"IBM", "NYSE", 21'870},
    {"GE", "NYSE", 17'340},
    {"KO", "NYSE", 6'320},
    {"F", "NYSE", 1'105},
    {"XOM", "NYSE", 11'490},
    {"SPY", "ARCA", 57'310},
    {"GLD", "ARCA", 24'640},
    {"BTI", "NYSE", 3'560},
};

constexpr const char* kStates[] = {
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "FL", "GA", "HI", "ID", "IL",
    "IN", "IA", "KS", "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT",
    "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA", "RI",
    "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
};

// 2026-01-05 14:30 UTC, a Monday, when New York opens. Milliseconds.
constexpr std::int64_t kFirstEpochMs = 1'767'623'400'000;
constexpr int kLeastCents = 100;

class ExecutionGenerator final : public Generator {
 public:
  explicit ExecutionGenerator(std::uint64_t seed) : dice_(seed) {
    for (const Listing& listing : kListings) {
      cents_.push_back(listing.start_cents);
    }
  }

  void next(std::string& bytes) override {
    const std::uint32_t which = dice_.below(std::size(kListings));
    const Listing& listing = kListings[which];
    int& cents = cents_[which];
    // A tenth of a percent at most, pulled back a little to where it began, so that a walk of
    // millions of steps stays believable.
    const int step = std::max(1, cents / 1000);
    const int pull = cents > 2 * listing.start_cents ? -1 : cents < listing.start_cents / 2 ? 1 : 0;
    cents = std::max(kLeastCents, cents + dice_.between(-step, step) + pull);
    epoch_ms_ += dice_.below(40);

    message_.set_symbol(listing.symbol);
    message_.set_market(listing.market);
    message_.set_price(static_cast<float>(cents) / 100.0F);
    // Round lots mostly, as on an exchange.
    message_.set_quantity(
        static_cast<float>(dice_.chance(80) ? 100 * dice_.between(1, 20) : dice_.between(1, 99)));
    message_.set_executionepoch(epoch_ms_);
    message_.set_statesymbol(dice_.pick(kStates));
    message_.SerializeToString(&bytes);
  }

 private:
  Dice dice_;
  std::vector<int> cents_;  // of kListings
  std::int64_t epoch_ms_ = kFirstEpochMs;
  execution message_;  // reused: its strings keep their memory
};

}  // namespace

std::unique_ptr<Generator> new_execution_generator(std::uint64_t seed) {
  return std::make_unique<ExecutionGenerator>(seed);
}

std::unique_ptr<Generator> new_generator(std::string_view feed, std::uint64_t seed) {
  if (feed == "events") {
    return new_event_generator(seed);
  }
  return feed == "executions" ? new_execution_generator(seed) : nullptr;
}

}  // namespace feedvault
