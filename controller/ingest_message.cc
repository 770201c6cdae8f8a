#include "controller/ingest_message.h"

#include <fmt/format.h>

namespace feedvault::controller {
namespace {

constexpr std::uint64_t kFnvOffset = 14695981039346656037ULL;
constexpr std::uint64_t kFnvPrime = 1099511628211ULL;

std::uint64_t fnv1a(std::uint64_t hash, std::string_view bytes) {
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  }
  return hash;
}

}  // namespace

std::uint64_t ingest_hash(std::string_view producer_id, std::string_view payload) {
  using std::string_view_literals::operator""sv;
  return fnv1a(fnv1a(fnv1a(kFnvOffset, producer_id), "\0"sv), payload);
}

std::string generated_id(std::string_view stream,
                         std::int64_t stream_created_ns,
                         std::uint64_t stream_seq) {
  return fmt::format("{}-{}-{}", stream, stream_created_ns / 1'000'000'000, stream_seq);
}

std::string payload_too_large(std::size_t bytes, std::size_t bytes_max) {
  return fmt::format("payload has {} bytes, over the limit of {}", bytes, bytes_max);
}

}  // namespace feedvault::controller
