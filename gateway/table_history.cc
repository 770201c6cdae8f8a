#include "gateway/table_history.h"

#include <algorithm>

namespace feedvault::gateway {

TableHistory::TableHistory(const MysqlConfig& config, const std::vector<FeedConfig>& feeds)
    : reader_(storage::CatalogueReader::create(config)) {
  for (const FeedConfig& feed : feeds) {
    numbers_[feed.name] = feed.number;
  }
}

Result<std::uint8_t> TableHistory::number_of(const std::string& feed) const {
  const auto found = numbers_.find(feed);
  if (found == numbers_.end()) {
    return not_found("there is no feed '" + feed + "'");
  }
  return found->second;
}

Result<HistoryPage> TableHistory::read_page(const std::string& feed,
                                            const HistoryRequest& request) {
  ASSIGN_OR_RETURN(const std::uint8_t number, number_of(feed));
  HistoryPage page;
  page.next_seq = request.range.first;
  if (request.range.empty() || request.messages_max == 0) {
    return page;
  }
  // The range's end is not part of the query: a row beyond it tells that there is nothing before.
  const std::uint64_t wanted =
      std::min<std::uint64_t>(request.messages_max, request.range.last - request.range.first + 1);
  ASSIGN_OR_RETURN(std::vector<storage::Row> rows,
                   reader_->read_range(number,
                                       request.range.first,
                                       static_cast<std::size_t>(wanted),
                                       request.bytes_max,
                                       request.with_body));
  page.messages.reserve(rows.size());
  for (storage::Row& row : rows) {
    page.next_seq = row.seq;
    if (row.seq > request.range.last) {
      return page;
    }
    ++page.next_seq;
    page.messages.push_back({.seq = row.seq,
                             .timestamp_us = row.timestamp_us,
                             .id = std::move(row.id),
                             .data = std::move(row.data),
                             .body = std::move(row.body)});
  }
  // Fewer than asked for: because of their bytes, or because there are no more.
  if (rows.size() < wanted) {
    ASSIGN_OR_RETURN(const auto more, reader_->read_range(number, page.next_seq, 1, 1));
    page.end = more.empty();
    page.next_seq = more.empty() ? page.next_seq : more.front().seq;
  }
  return page;
}

Result<std::uint64_t> TableHistory::seq_at_time(const std::string& feed,
                                                std::int64_t timestamp_us) {
  ASSIGN_OR_RETURN(const std::uint8_t number, number_of(feed));
  // First: what is catalogued between the two questions must not be skipped.
  ASSIGN_OR_RETURN(const auto held, reader_->held(number));
  ASSIGN_OR_RETURN(const auto seq, reader_->seq_at_time(number, timestamp_us));
  return seq.value_or(held.last + 1);
}

Result<SeqRange> TableHistory::held(const std::string& feed) {
  ASSIGN_OR_RETURN(const std::uint8_t number, number_of(feed));
  ASSIGN_OR_RETURN(const auto held, reader_->held(number));
  return SeqRange{.first = held.first, .last = held.last};
}

}  // namespace feedvault::gateway
