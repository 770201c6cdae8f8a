#include "bench/support/sample_execution.h"

#include "base/clock.h"

namespace feedvault::bench {

execution execution_of_size(std::uint32_t bytes) {
  execution message;
  message.set_symbol("EURUSD");
  message.set_market("XNAS");
  message.set_price(1.0852F);
  message.set_quantity(100);
  message.set_executionepoch(Clock::system().unix_ns());
  message.set_statesymbol("NY");
  const std::size_t size = message.ByteSizeLong();
  if (size < bytes) {
    message.mutable_market()->append(bytes - size, '.');
  }
  return message;
}

}  // namespace feedvault::bench
