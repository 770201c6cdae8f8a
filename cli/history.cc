#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "proto/message_schema.h"

namespace feedvault::cli {
namespace {

using nlohmann::ordered_json;
using Field = MessageSchema::Field;

constexpr std::size_t kPageRows = 4096;
constexpr std::size_t kPageBytes = 4U << 20U;
/// The widths of a table's columns are those of its first rows.
constexpr std::size_t kMeasuredRows = 200;
constexpr std::size_t kColumnWidthMax = 40;

std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

/// A field's value for people: texts without quotes, what is not there empty.
std::string plain(const ordered_json& body, const Field& field) {
  const auto found = body.find(field.json_name);
  if (found == body.end() || found->is_null()) {
    return {};
  }
  return found->is_string() ? found->get<std::string>() : dumped(*found);
}

/// A message with what its formats and filters need of it.
struct HistoryRow {
  const storage::Row& row;
  const std::string& body;     // JSON; empty when it cannot be decoded
  const ordered_json& fields;  // the same as an object; only where it is needed
  const std::string& problem;  // why it cannot be decoded
};

/// One "FIELD=VALUE".
class FieldFilter {
 public:
  static Result<FieldFilter> parse(const std::string& text, const std::vector<Field>& fields) {
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    std::string known;
    for (const Field& field : fields) {
      if (equals != std::string::npos && (name == field.name || name == field.json_name)) {
        return FieldFilter(field, text.substr(equals + 1));
      }
      known += (known.empty() ? "" : ", ") + field.name;
    }
    return invalid_argument("filter '" + printable(text) +
                            "' is not FIELD=VALUE with one of the fields " + known);
  }

  bool matches(const ordered_json& body) const {
    const std::string value = plain(body, field_);
    if (value == value_) {
      return true;
    }
    double a = 0;
    double b = 0;
    return number(value, a) && number(value_, b) && a == b;  // 100 is 100.0
  }

 private:
  FieldFilter(Field field, std::string value)
      : field_(std::move(field)), value_(std::move(value)) {}
  static bool number(const std::string& text, double& value) {
    const char* const end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && after == end && !text.empty();
  }

  Field field_;
  std::string value_;
};

/// Makes text of rows.
class Format {
 public:
  virtual ~Format() = default;
  virtual void begin(std::string&) {}
  virtual void add(const HistoryRow& row, std::string& out) = 0;
  virtual void end(std::string&) {}
};

class NdjsonFormat final : public Format {
 public:
  void add(const HistoryRow& row, std::string& out) override {
    out += "{\"seq\":" + std::to_string(row.row.seq) + ",\"id\":" + dumped(row.row.id) +
           ",\"timestamp\":\"" + format_rfc3339_us(row.row.timestamp_us) + "\",\"body\":";
    out += row.body.empty() ? "null,\"error\":" + dumped(row.problem) : row.body;
    out += "}\n";
  }
};

// In the gateway's order, so that a file of one is read like one of the other.
std::vector<std::string> cells_of(const HistoryRow& row, const std::vector<Field>& fields) {
  std::vector<std::string> cells = {
      std::to_string(row.row.seq), row.row.id, format_rfc3339_us(row.row.timestamp_us)};
  for (const Field& field : fields) {
    cells.push_back(plain(row.fields, field));
  }
  return cells;
}

std::vector<std::string> headings(const std::vector<Field>& fields) {
  std::vector<std::string> names = {"seq", "id", "timestamp"};
  for (const Field& field : fields) {
    names.push_back(field.name);
  }
  return names;
}

/// RFC 4180.
class CsvFormat final : public Format {
 public:
  explicit CsvFormat(const std::vector<Field>& fields) : fields_(fields) {}
  void begin(std::string& out) override { line(headings(fields_), out); }
  void add(const HistoryRow& row, std::string& out) override { line(cells_of(row, fields_), out); }

 private:
  static void line(const std::vector<std::string>& cells, std::string& out) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out += i == 0 ? "" : ",";
      if (cells[i].find_first_of(",\"\r\n") == std::string::npos) {
        out += cells[i];
        continue;
      }
      out += '"';
      for (const char c : cells[i]) {
        out += c == '"' ? "\"\"" : std::string(1, c);
      }
      out += '"';
    }
    out += "\r\n";
  }

  const std::vector<Field>& fields_;
};

class TableFormat final : public Format {
 public:
  explicit TableFormat(const std::vector<Field>& fields) : fields_(fields) {
    rows_.push_back(headings(fields));
  }
  void add(const HistoryRow& row, std::string& out) override {
    std::vector<std::string> cells = cells_of(row, fields_);
    for (std::string& cell : cells) {
      cell = printable(cell, kColumnWidthMax);
    }
    rows_.push_back(std::move(cells));
    if (!widths_.empty() || rows_.size() > kMeasuredRows) {
      flush(out);
    }
  }
  void end(std::string& out) override { flush(out); }

 private:
  void flush(std::string& out) {
    if (widths_.empty()) {
      widths_.resize(rows_.front().size());
      for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) {
          widths_[i] = std::max(widths_[i], row[i].size());
        }
      }
    }
    for (const auto& row : rows_) {
      std::string text;
      for (std::size_t i = 0; i < row.size(); ++i) {
        text += row[i];
        text.append(widths_[i] > row[i].size() ? widths_[i] - row[i].size() : 0, ' ');
        text += "  ";
      }
      text.erase(text.find_last_not_of(' ') + 1);
      out += text + "\n";
    }
    rows_.clear();
  }

  const std::vector<Field>& fields_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> widths_;  // empty until the first rows are measured
};

std::unique_ptr<Format> make_format(const std::string& name, const std::vector<Field>& fields) {
  if (name == "csv") {
    return std::make_unique<CsvFormat>(fields);
  }
  if (name == "table") {
    return std::make_unique<TableFormat>(fields);
  }
  return std::make_unique<NdjsonFormat>();
}

/// 0, or errno when stdout takes no more.
int write_out(std::string& text) {
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  const int error = written ? 0 : errno;
  text.clear();
  return error;
}

/// Decodes rows, leaves out what the filters do not want, and hands the rest to a format.
class HistoryPrinter {
 public:
  HistoryPrinter(const MessageSchema& schema,
                 std::vector<FieldFilter> filters,
                 const std::string& format)
      : decoder_(schema.new_decoder()),
        filters_(std::move(filters)),
        wants_fields_(!filters_.empty() || format != "ndjson"),
        format_(make_format(format, schema.fields())) {}

  Format& format() { return *format_; }

  void add(const storage::Row& row, std::string& out) {
    body_.clear();
    problem_.clear();
    fields_ = ordered_json::object();
    if (const Status decoded = decoder_->to_json(row.data, body_); !decoded.ok()) {
      problem_ = decoded.message();
    } else if (wants_fields_) {
      fields_ = ordered_json::parse(body_, nullptr, /*allow_exceptions=*/false);
    }
    const bool wanted = std::all_of(filters_.begin(), filters_.end(), [this](const auto& filter) {
      return filter.matches(fields_);
    });
    if (wanted) {
      format_->add({row, body_, fields_, problem_}, out);
    }
  }

 private:
  std::unique_ptr<MessageSchema::Decoder> decoder_;
  const std::vector<FieldFilter> filters_;
  const bool wants_fields_;
  std::unique_ptr<Format> format_;
  std::string body_;
  std::string problem_;
  ordered_json fields_;
};

int print_range(storage::CatalogueReader& table,
                const FeedConfig& feed,
                const SeqRange& range,
                HistoryPrinter& printer) {
  Progress progress(
      feed.name, range.empty() ? 0 : range.last - range.first + 1, Progress::Stdout::kBusy);
  std::string out;
  printer.format().begin(out);
  for (std::uint64_t next = range.first; next <= range.last;) {
    const auto rows = table.read_range(feed.number, next, kPageRows, kPageBytes);
    if (!rows) {
      progress.clear();
      return report("read the table from " + feed.name + ":" + std::to_string(next), rows.error());
    }
    if (rows->empty()) {
      break;
    }
    for (const storage::Row& row : *rows) {
      if (row.seq > range.last) {
        break;
      }
      printer.add(row, out);
    }
    next = rows->back().seq + 1;
    if (const int error = write_out(out); error != 0) {
      progress.clear();
      return report_write(error);
    }
    progress.show(std::min(next, range.last + 1) - range.first);
  }
  printer.format().end(out);
  const int error = write_out(out);
  return error == 0 ? kExitOk : report_write(error);
}

}  // namespace

int history(const Config& config, const HistoryOptions& options) {
  const FeedConfig* feed = find_feed(config, options.feed);
  if (feed == nullptr) {
    return kExitUsage;
  }
  const auto schema = MessageSchema::load(feed->proto, feed->message);
  if (!schema) {
    return report("feed " + feed->name, schema.error());
  }
  std::vector<FieldFilter> filters;
  for (const std::string& text : options.filters) {
    auto filter = FieldFilter::parse(text, (*schema)->fields());
    if (!filter) {
      return report("history", filter.error());
    }
    filters.push_back(std::move(*filter));
  }
  const auto table = storage::CatalogueReader::create(config.mysql);
  const auto range = find_range(*table, *feed, options.from, options.to);
  if (!range) {
    return report("history", range.error());
  }
  HistoryPrinter printer(**schema, std::move(filters), options.format);
  return print_range(*table, *feed, *range, printer);
}

}  // namespace feedvault::cli
