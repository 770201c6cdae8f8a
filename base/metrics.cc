#include "base/metrics.h"

#include <algorithm>
#include <cstdio>

#include <prometheus/check_names.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "base/check.h"

namespace feedvault {
namespace {

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

void check_name(const std::string& name,
                const std::string& help,
                const Metrics::Labels& labels,
                Metrics::Kind kind) {
  const std::string_view problem =
      help.empty() ? "it has no help text" : Metrics::name_problem(name, kind);
  if (!problem.empty()) {
    std::fprintf(stderr,
                 "metric %s: %.*s\n",
                 name.c_str(),
                 static_cast<int>(problem.size()),
                 problem.data());
  }
  CHECK(problem.empty());
  for (const auto& [label, value] : labels) {
    CHECK(prometheus::CheckLabelName(label));
  }
}

}  // namespace

struct Metrics::Registry {
  prometheus::Registry native{prometheus::Registry::InsertBehavior::Merge};
};

Metrics::Metrics() : registry_(std::make_unique<Registry>()) {}
Metrics::~Metrics() = default;

void Counter::add(double by) const {
  if (native_ != nullptr) {
    static_cast<prometheus::Counter*>(native_)->Increment(by);
  }
}

double Counter::value() const {
  return native_ == nullptr ? 0 : static_cast<prometheus::Counter*>(native_)->Value();
}

void Gauge::put(double value) const {
  if (native_ != nullptr) {
    static_cast<prometheus::Gauge*>(native_)->Set(value);
  }
}

double Gauge::value() const {
  return native_ == nullptr ? 0 : static_cast<prometheus::Gauge*>(native_)->Value();
}

void Histogram::observe(double value) const {
  if (native_ != nullptr) {
    static_cast<prometheus::Histogram*>(native_)->Observe(value);
  }
}

Counter Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  check_name(name, help, labels, Kind::kCounter);
  return Counter(
      &prometheus::BuildCounter().Name(name).Help(help).Register(registry_->native).Add(labels));
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  check_name(name, help, labels, Kind::kGauge);
  return Gauge(
      &prometheus::BuildGauge().Name(name).Help(help).Register(registry_->native).Add(labels));
}

Histogram Metrics::histogram(const std::string& name,
                             const std::string& help,
                             const std::vector<double>& bounds,
                             const Labels& labels) {
  check_name(name, help, labels, Kind::kHistogram);
  CHECK(std::is_sorted(bounds.begin(), bounds.end()));
  return Histogram(&prometheus::BuildHistogram()
                        .Name(name)
                        .Help(help)
                        .Register(registry_->native)
                        .Add(labels, bounds));
}

std::string Metrics::to_prometheus_text() const {
  return prometheus::TextSerializer().Serialize(registry_->native.Collect());
}

std::string_view Metrics::name_problem(std::string_view name, Kind kind) {
  constexpr std::string_view kPrefix = "feedvault_";
  const std::string_view rest =
      name.substr(0, kPrefix.size()) == kPrefix ? name.substr(kPrefix.size()) : "";
  if (rest.find('_') == std::string_view::npos) {
    return "it is not feedvault_<part>_<what>";
  }
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string_view::npos ||
      name.find("__") != std::string_view::npos || name.back() == '_') {
    return "it is not small letters and digits in words with _ between them";
  }
  const bool total = ends_with(name, "_total");
  if (kind == Kind::kCounter && !total) {
    return "a counter ends in _total";
  }
  if (kind != Kind::kCounter && total) {
    return "only a counter ends in _total";
  }
  if (kind == Kind::kHistogram && !ends_with(name, "_seconds") && !ends_with(name, "_bytes") &&
      !ends_with(name, "_messages")) {
    return "a histogram ends in its unit: _seconds, _bytes or _messages";
  }
  return {};
}

std::vector<double> latency_bounds_seconds() {
  return {
      0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10};
}

}  // namespace feedvault
