#include "common/metrics/registry.hpp"

#include <fmt/format.h>

#include <variant>

#include "common/log/log.hpp"
#include "common/metrics/exposition.hpp"

namespace common::metrics {
namespace {

std::string_view type_name(Type type) {
  switch (type) {
    case Type::Counter:
      return "counter";
    case Type::Gauge:
      return "gauge";
    case Type::Histogram:
      return "histogram";
  }
  return "untyped";
}

// `a="1",b="2"`, the identity of a series and its text.
std::string render_labels(Labels labels, bool all_other) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty())
      text += ',';
    text += name;
    text += "=\"";
    append_label_value(text, all_other ? "other" : value.substr(0, kMaxLabelValue));
    text += '"';
  }
  return text;
}

void append_sample(std::string& out, std::string_view name, std::string_view labels,
                   std::string_view extra_label, double value) {
  out += name;
  if (!labels.empty() || !extra_label.empty()) {
    const bool both = !labels.empty() && !extra_label.empty();
    out += fmt::format("{{{}{}{}}}", labels, both ? "," : "", extra_label);
  }
  out += ' ';
  append_number(out, value);
  out += '\n';
}

void append_histogram(std::string& out, const std::string& name, std::string_view labels,
                      const Histogram& histogram) {
  const Histogram::Snapshot snapshot = histogram.snapshot();
  for (std::size_t i = 0; i < snapshot.cumulative.size(); ++i) {
    std::string le = "le=\"";
    if (i < histogram.bounds().size()) {
      append_number(le, histogram.bounds()[i]);
    } else {
      le += "+Inf";
    }
    append_sample(out, name + "_bucket", labels, le + '"',
                  static_cast<double>(snapshot.cumulative[i]));
  }
  append_sample(out, name + "_sum", labels, "", snapshot.sum);
  append_sample(out, name + "_count", labels, "", static_cast<double>(snapshot.cumulative.back()));
}

}  // namespace

struct Registry::Series {
  // A histogram's buckets do not fit a fixed size, hence the pointer.
  std::variant<Counter, Gauge, std::unique_ptr<Histogram>, std::function<double()>> value;
};

// What all series of one metric have in common.
struct Registry::Shape {
  Type type = Type::Counter;
  bool sampled = false;
  std::vector<double> bounds = {};
  friend bool operator==(const Shape&, const Shape&) = default;
};

struct Registry::Family {
  Shape shape;
  std::string help;
  // By label text; map nodes never move, so references stay good.
  std::map<std::string, Series, std::less<>> series;
};

struct Registry::State {
  std::map<std::string, Family, std::less<>> families;
  std::vector<std::unique_ptr<Series>> not_shown;
  Counter* dropped = nullptr;
  Counter* conflicts = nullptr;
};

namespace {

bool names_are_good(std::string_view name, Labels labels) {
  if (!is_metric_name(name))
    return false;
  for (const auto& label : labels) {
    if (!is_label_name(label.first) || label.first == "le")
      return false;
  }
  return true;
}

}  // namespace

Registry::Registry() : state_(std::make_unique<State>()) {
  Counter& dropped = counter("troth_metrics_series_dropped_total",
                             "Look-ups that ended in a shared series because of the cap.");
  Counter& conflicts = counter("troth_metrics_conflicts_total",
                               "Metrics registered under a bad name or one used otherwise: a bug.");
  auto state = state_.lock();
  (*state)->dropped = &dropped;
  (*state)->conflicts = &conflicts;
}

Registry::~Registry() = default;

Registry::Series& Registry::series(const Shape& shape, std::string_view name, std::string_view help,
                                   Labels labels) {
  const auto set_up = [&](Series& fresh) -> Series& {
    if (shape.sampled) {
      fresh.value = std::function<double()>([] { return 0.0; });
    } else if (shape.type == Type::Gauge) {
      fresh.value.emplace<Gauge>();
    } else if (shape.type == Type::Histogram) {
      fresh.value = std::make_unique<Histogram>(shape.bounds);
    }
    return fresh;
  };
  auto guard = state_.lock();
  State& state = **guard;
  auto found = state.families.find(name);
  const bool clash = found != state.families.end() && found->second.shape != shape;
  if (clash || !names_are_good(name, labels)) {
    if (state.conflicts != nullptr)
      state.conflicts->inc();
    log::error("a metric is not shown: bad name, or used before as something else",
               {{"name", name}});
    return set_up(*state.not_shown.emplace_back(std::make_unique<Series>()));
  }
  if (found == state.families.end()) {
    Family family{.shape = shape, .help = std::string(help), .series = {}};
    found = state.families.emplace(std::string(name), std::move(family)).first;
  }
  auto& all = found->second.series;
  std::string key = render_labels(labels, false);
  if (const auto known = all.find(key); known != all.end())
    return known->second;
  if (all.size() >= kMaxSeries) {
    if (state.dropped != nullptr)
      state.dropped->inc();
    key = render_labels(labels, true);
    if (const auto other = all.find(key); other != all.end())
      return other->second;
  }
  return set_up(all[key]);
}

Counter& Registry::counter(std::string_view name, std::string_view help, Labels labels) {
  return std::get<Counter>(series({.type = Type::Counter}, name, help, labels).value);
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, Labels labels) {
  return std::get<Gauge>(series({.type = Type::Gauge}, name, help, labels).value);
}

Histogram& Registry::histogram(std::string_view name, std::string_view help,
                               const std::vector<double>& bounds, Labels labels) {
  Series& found = series({.type = Type::Histogram, .bounds = bounds}, name, help, labels);
  return *std::get<std::unique_ptr<Histogram>>(found.value);
}

void Registry::sampled(Type type, std::string_view name, std::string_view help, Labels labels,
                       std::function<double()> sample) {
  // A histogram has no single value: shown as the gauge that it must have been meant to be.
  const Type shown = type == Type::Histogram ? Type::Gauge : type;
  Series& target = series({.type = shown, .sampled = true}, name, help, labels);
  const auto lock = state_.lock();
  target.value = std::move(sample);
}

std::string Registry::render() const {
  std::string out;
  auto guard = state_.lock();
  for (const auto& [name, family] : (*guard)->families) {
    out += "# HELP " + name + ' ';
    append_help(out, family.help);
    out += fmt::format("\n# TYPE {} {}\n", name, type_name(family.shape.type));
    for (const auto& [labels, series] : family.series) {
      if (const auto* counter = std::get_if<Counter>(&series.value)) {
        append_sample(out, name, labels, "", static_cast<double>(counter->value()));
      } else if (const auto* gauge = std::get_if<Gauge>(&series.value)) {
        append_sample(out, name, labels, "", gauge->value());
      } else if (const auto* sample = std::get_if<std::function<double()>>(&series.value)) {
        append_sample(out, name, labels, "", (*sample)());
      } else {
        append_histogram(out, name, labels, *std::get<std::unique_ptr<Histogram>>(series.value));
      }
    }
  }
  return out;
}

}  // namespace common::metrics
