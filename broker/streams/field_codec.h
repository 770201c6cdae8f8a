#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace feedvault::broker::streams {

// Stored settings: a run of fields, each a number (2 bytes), a length (4 bytes) and so many bytes,
// little-endian; integers have 8. A field may come several times (lists). A reader passes over
// numbers that it does not know, so that an older version can read what a newer one wrote; a field
// that is not there has its default.

/// Collects fields into one text. One thread; owns the text until take().
class FieldWriter {
 public:
  void put(std::uint16_t field, std::string_view bytes);
  void put(std::uint16_t field, std::uint64_t value);
  void put(std::uint16_t field, std::int64_t value) {
    put(field, static_cast<std::uint64_t>(value));
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Walks over the fields of a text that the caller keeps. Rubbish ends the walk.
class FieldReader {
 public:
  struct Field {
    std::uint16_t number = 0;
    std::string_view bytes;
    /// 0 when it is none.
    std::uint64_t integer() const;
    std::int64_t signed_integer() const { return static_cast<std::int64_t>(integer()); }
    std::string text() const { return std::string(bytes); }
  };

  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  /// Nothing at the end, or where the rest is no field: then ok() is false.
  std::optional<Field> next();
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace feedvault::broker::streams
