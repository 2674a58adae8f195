#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vicinal/core/version.hpp"
#include "vicinal/tools/explore/summary.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/plot_scale.hpp"
#include "vicinal/tools/svg_text.hpp"

namespace vicinal::tools {
namespace {

constexpr double width = 960, plot_left = 84, plot_top = 108, plot_height = 416, label_size = 13,
                 label_line = 17;
constexpr double label_columns = 40;
constexpr double mebi = 0x1p20;

struct Style {
  std::string_view line, text;
};
constexpr Style scan_style{"#8a929b", "#57606a"}, graph_style{"#0072B2", "#00629A"},
    chosen_style{"#D55E00", "#B14E00"};

class Picture {
 public:
  Picture(const Exploration& found, std::string title) : found_(found), title_(std::move(title)) {
    double least = 1, most = 0, smallest = 0, largest = 0;
    for (const auto& point : found.points) {
      least = std::min(least, found.quality_of(point));
      most = std::max(most, found.quality_of(point));
      smallest = smallest == 0 ? mib(point) : std::min(smallest, mib(point));
      largest = std::max(largest, mib(point));
    }
    if (found.options.floor) least = std::min(least, found.options.floor->value);
    x_ = Scale::logarithmic(std::max(smallest, 1e-6), std::max(largest, 1e-6));
    y_ = Scale::recall(least, most, 14);
    place_labels();
  }

  std::string render() {
    const double height = plot_top + plot_height + 84;
    out_ = fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img" aria-label="{2}" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif">)"
        "\n",
        width, height, escape_xml(title_));
    line(R"(<title>{}</title>)", escape_xml(title_));
    line(R"(<rect x="0.5" y="0.5" width="{:.0f}" height="{:.0f}" rx="14" fill="#fff" stroke="#d8dce2"/>)",
         width - 1, height - 1);
    titles(height);
    axes();
    limits();
    front_line(false, scan_style);
    front_line(true, graph_style);
    for (const auto& point : found_.points) draw(point);
    labels();
    out_ += "</svg>\n";
    return std::move(out_);
  }

 private:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format(format, std::forward<Args>(args)...);
    out_ += '\n';
  }

  static double mib(const ExploredPoint& point) { return static_cast<double>(point.planned_bytes) / mebi; }
  double px(double value) const { return plot_left + x_.position(value) * plot_width_; }
  double py(double value) const { return plot_top + (1 - y_.position(value)) * plot_height; }
  double px(const ExploredPoint& point) const { return px(mib(point)); }
  double py(const ExploredPoint& point) const { return py(found_.quality_of(point)); }
  bool is_chosen(const ExploredPoint& point) const {
    return found_.decision.chosen && &found_.points[*found_.decision.chosen] == &point;
  }
  const Style& style(const ExploredPoint& point) const {
    return is_chosen(point) ? chosen_style : point.graph ? graph_style : scan_style;
  }

  // Names stand in a column beside the plot, in the order of their points: those of the fronts, from the top as far as there is room.
  void place_labels() {
    for (const auto& point : found_.points) {
      if (point.on_front || is_chosen(point)) named_.push_back(&point);
    }
    std::ranges::stable_sort(
        named_, [&](auto* a, auto* b) { return std::pair(py(*a), px(*a)) < std::pair(py(*b), px(*b)); });
    const auto room = static_cast<std::size_t>((plot_height + 16) / (label_line + 4));
    while (named_.size() > room) {
      const auto last =
          std::find_if(named_.rbegin(), named_.rend(), [&](auto* point) { return !is_chosen(*point); });
      named_.erase(std::next(last).base());
    }
    std::vector<double> wanted, heights;
    double widest = 0;
    for (const auto* point : named_) {
      names_.push_back(wrap(point->spec, static_cast<std::size_t>(label_columns)));
      wanted.push_back(py(*point));
      heights.push_back(label_line * static_cast<double>(names_.back().size()) + 4);
      for (const auto& text : names_.back()) widest = std::max(widest, text_width(text, label_size));
    }
    plot_width_ = width - plot_left - 36 - widest - 16;
    centres_ = spread_labels(wanted, heights, plot_top - 8, plot_top + plot_height + 8);
  }

  void titles(double height) {
    line(R"(<text x="32" y="45" font-size="22" font-weight="700" fill="#1b1f24">{}</text>)",
         escape_xml(title_));
    const std::string about = fmt::format(
        "{} vectors · dimension {} · {} · {} queries{}", thousands(found_.rows), found_.dim,
        to_string(found_.options.metric), thousands(found_.queries),
        found_.extrapolated() ? fmt::format(" · memory for {} rows", thousands(found_.planned_rows())) : "");
    line(R"(<text x="32" y="69" font-size="13.5" fill="#57606a">{}</text>)", escape_xml(about));
    line(R"(<text x="32" y="{:.0f}" font-size="11.5" fill="#8a929b">{}</text>)", height - 14,
         escape_xml(fmt::format("vicinal {}", version)));
  }

  void axes() {
    const double right = plot_left + plot_width_, bottom = plot_top + plot_height;
    for (const auto& tick : x_.ticks()) {
      line(R"(<line x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}" stroke="{3}"/>)", px(tick.value),
           plot_top, bottom, tick.label.empty() ? "#f3f4f6" : "#e6e8eb");
      if (!tick.label.empty())
        line(R"(<text x="{:.1f}" y="{:.1f}" font-size="13" fill="#424a53" text-anchor="middle">{}</text>)",
             px(tick.value), bottom + 21, tick.label);
    }
    for (const auto& tick : y_.ticks()) {
      line(R"(<line x1="{1:.1f}" y1="{0:.1f}" x2="{2:.1f}" y2="{0:.1f}" stroke="{3}"/>)", py(tick.value),
           plot_left, right, tick.label.empty() ? "#f3f4f6" : "#e6e8eb");
      if (!tick.label.empty())
        line(R"(<text x="{:.1f}" y="{:.1f}" font-size="13" fill="#424a53" text-anchor="end">{}</text>)",
             plot_left - 10, py(tick.value) + 4.5, tick.label);
    }
    line(R"(<path d="M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}" fill="none" stroke="#6e7781"/>)", plot_left, plot_top,
         bottom, right);
    line(
        R"(<text x="{:.1f}" y="{:.1f}" font-size="14" fill="#24292f" text-anchor="middle">memory, MiB</text>)",
        plot_left + plot_width_ / 2, bottom + 46);
    line(R"(<text x="{:.1f}" y="{:.1f}" font-size="14" fill="#24292f">{}</text>)", plot_left - 52,
         plot_top - 14, escape_xml(quality_name(found_.quality, found_.options.k)));
  }

  // The budget and the floor, where they are in the picture.
  void limits() {
    const auto& options = found_.options;
    if (options.budget) {
      const double x = x_.position(static_cast<double>(*options.budget) / mebi);
      if (x > 0 && x < 1) {
        const double at = plot_left + x * plot_width_;
        line(
            R"(<line x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}" stroke="#CC79A7" stroke-width="1.5" stroke-dasharray="5 4"/>)",
            at, plot_top, plot_top + plot_height);
        line(R"(<text x="{:.1f}" y="{:.1f}" font-size="12.5" fill="#A24C7D" text-anchor="middle">{}</text>)",
             at, plot_top - 6, bytes_text(*options.budget));
      }
    }
    if (options.floor) {
      const double y = py(options.floor->value);
      line(
          R"(<line x1="{1:.1f}" y1="{0:.1f}" x2="{2:.1f}" y2="{0:.1f}" stroke="#CC79A7" stroke-width="1.5" stroke-dasharray="5 4"/>)",
          y, plot_left, plot_left + plot_width_);
      line(
          R"(<text x="{:.1f}" y="{:.1f}" font-size="12.5" fill="#A24C7D" text-anchor="end">floor {:g}</text>)",
          plot_left + plot_width_ - 6, y + 15, options.floor->value);
    }
  }

  // Steps, since between two points there is nothing to be had.
  void front_line(bool graphs, const Style& style) {
    std::vector<const ExploredPoint*> ahead;
    for (const auto& point : found_.points) {
      if (point.graph == graphs && point.on_front) ahead.push_back(&point);
    }
    if (ahead.empty()) return;
    std::ranges::sort(ahead, {}, [](auto* point) { return point->planned_bytes; });
    std::string path = fmt::format("M{:.1f} {:.1f}", px(*ahead.front()), py(*ahead.front()));
    for (const auto* point : ahead) path += fmt::format("H{:.1f}V{:.1f}", px(*point), py(*point));
    line(R"(<path d="{}" fill="none" stroke="{}" stroke-width="2" stroke-opacity="0.6"/>)", path, style.line);
  }

  void draw(const ExploredPoint& point) {
    const Style& look = style(point);
    const bool solid = point.on_front || is_chosen(point);
    line(
        R"(<g><title>{}: {} {:.4f}, {}</title><circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}" stroke="{}" stroke-width="1.4"/></g>)",
        escape_xml(point.spec), quality_name(found_.quality, found_.options.k), found_.quality_of(point),
        bytes_text(point.planned_bytes), px(point), py(point),
        is_chosen(point) ? 7
        : solid          ? 5
                         : 3.5,
        solid ? look.line : "#fff", solid ? "#fff" : look.line);
  }

  void labels() {
    if (centres_.empty()) return;
    const double x = plot_left + plot_width_ + 36;
    for (std::size_t i = 0; i < named_.size(); ++i) {
      const Style& look = style(*named_[i]);
      line(
          R"(<path d="M{:.1f} {:.1f}L{:.1f} {:.1f}H{:.1f}" fill="none" stroke="{}" stroke-opacity="0.6" stroke-dasharray="1 3" stroke-linecap="round"/>)",
          px(*named_[i]) + 8, py(*named_[i]), x - 18, centres_[i], x - 5, look.line);
      double y = centres_[i] - static_cast<double>(names_[i].size() - 1) * label_line / 2 + label_size * 0.36;
      for (const auto& text : names_[i]) {
        line(R"(<text x="{:.1f}" y="{:.1f}" font-size="{}" font-weight="{}" fill="{}">{}</text>)", x, y,
             label_size, is_chosen(*named_[i]) ? 700 : 500, look.text, escape_xml(text));
        y += label_line;
      }
    }
  }

  const Exploration& found_;
  std::string title_;
  double plot_width_ = 560;
  Scale x_ = Scale::logarithmic(1, 10);
  Scale y_ = Scale::recall(0.9, 0.99, 10);
  std::vector<const ExploredPoint*> named_;
  std::vector<std::vector<std::string>> names_;
  std::vector<double> centres_;  // of names_; empty: no room
  std::string out_;
};

}  // namespace

std::string exploration_svg(const Exploration& found, const std::string& title) {
  return Picture(found, title.empty() ? "Quality against memory" : title).render();
}

}  // namespace vicinal::tools
