#include "broker/streams/field_codec.h"

#include "broker/store/format.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::size_t kFieldHeaderBytes = 6;

}  // namespace

void FieldWriter::put(std::uint16_t field, std::string_view bytes) {
  const std::size_t at = out_.size();
  out_.resize(at + kFieldHeaderBytes);
  store::put(out_.data() + at, field);
  store::put(out_.data() + at + 2, static_cast<std::uint32_t>(bytes.size()));
  out_ += bytes;
}

void FieldWriter::put(std::uint16_t field, std::uint64_t value) {
  char bytes[sizeof(value)];
  store::put(bytes, value);
  put(field, std::string_view(bytes, sizeof(bytes)));
}

std::uint64_t FieldReader::Field::integer() const {
  return bytes.size() == sizeof(std::uint64_t) ? store::load<std::uint64_t>(bytes.data()) : 0;
}

std::optional<FieldReader::Field> FieldReader::next() {
  if (rest_.empty() || !ok_) {
    return std::nullopt;
  }
  Field field;
  std::size_t size = 0;
  if (rest_.size() >= kFieldHeaderBytes) {
    field.number = store::load<std::uint16_t>(rest_.data());
    size = store::load<std::uint32_t>(rest_.data() + 2);
  }
  if (rest_.size() < kFieldHeaderBytes || size > rest_.size() - kFieldHeaderBytes) {
    ok_ = false;
    return std::nullopt;
  }
  field.bytes = rest_.substr(kFieldHeaderBytes, size);
  rest_.remove_prefix(kFieldHeaderBytes + size);
  return field;
}

}  // namespace feedvault::broker::streams
