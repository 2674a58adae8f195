#include "vicinal/tools/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/plot_scale.hpp"
#include "vicinal/tools/svg_text.hpp"

namespace vicinal::tools {
namespace {

constexpr double width = 960;
constexpr double plot_left = 96;
constexpr double plot_top = 104;
constexpr double plot_height = 404;
constexpr double label_size = 14;
constexpr double label_line = 18;
constexpr double least_plot_width = 540;

// Okabe & Ito without the yellow, which is lost on white, and each as dark as small letters need.
struct Colour {
  std::string_view line;
  std::string_view text;
};
constexpr std::array colours{Colour{"#0072B2", "#00629A"}, Colour{"#D55E00", "#B14E00"},
                             Colour{"#009E73", "#007A59"}, Colour{"#CC79A7", "#A24C7D"},
                             Colour{"#E69F00", "#966700"}, Colour{"#56B4E9", "#1F7CB0"},
                             Colour{"#4D4D4D", "#333333"}};

struct Curve {
  std::string name;
  std::vector<PlotPoint> points;  // drawable, ascending recall
  std::size_t style = 0;
  std::vector<std::string> label;
};

std::vector<Curve> drawable(const RecallPlot& plot) {
  std::vector<Curve> curves;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    Curve curve{plot.series[i].name, {}, i, wrap(plot.series[i].name, 24)};
    for (const auto& point : plot.series[i].points) {
      if (point.recall >= 0 && point.recall <= 1 && point.qps > 0 && std::isfinite(point.qps))
        curve.points.push_back(point);
    }
    std::stable_sort(curve.points.begin(), curve.points.end(), [](const PlotPoint& a, const PlotPoint& b) {
      return a.recall != b.recall ? a.recall < b.recall : a.qps > b.qps;
    });
    if (!curve.points.empty()) curves.push_back(std::move(curve));
  }
  return curves;
}

// A mark of about 9 units, white-edged so that it stands out from its line.
std::string mark(std::size_t style, double x, double y) {
  const std::string_view fill = colours[style % colours.size()].line;
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners)
      points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x + dx, y + dy);
    return fmt::format(R"(<polygon points="{}" fill="{}" stroke="#fff" stroke-width="1.2"/>)", points, fill);
  };
  switch (style % 5) {
    case 1: return polygon({{-4.4, -4.4}, {4.4, -4.4}, {4.4, 4.4}, {-4.4, 4.4}});
    case 2: return polygon({{0, -6.2}, {6.2, 0}, {0, 6.2}, {-6.2, 0}});
    case 3: return polygon({{0, -5.8}, {5.6, 4.4}, {-5.6, 4.4}});
    case 4: return polygon({{0, 5.8}, {5.6, -4.4}, {-5.6, -4.4}});
    default:
      return fmt::format(
          R"(<circle cx="{:.1f}" cy="{:.1f}" r="4.9" fill="{}" stroke="#fff" stroke-width="1.2"/>)", x, y,
          fill);
  }
}

class Drawing {
 public:
  explicit Drawing(const RecallPlot& plot) : plot_(plot), curves_(drawable(plot)) {
    double least_recall = 0.9, greatest_recall = 0.99, least_qps = 100, greatest_qps = 1000;
    bool first = true;
    for (const auto& curve : curves_) {
      for (const auto& point : curve.points) {
        least_recall = first ? point.recall : std::min(least_recall, point.recall);
        greatest_recall = first ? point.recall : std::max(greatest_recall, point.recall);
        least_qps = first ? point.qps : std::min(least_qps, point.qps);
        greatest_qps = first ? point.qps : std::max(greatest_qps, point.qps);
        first = false;
      }
    }
    place_labels(Scale::logarithmic(least_qps, greatest_qps));
    x_ = Scale::recall(least_recall, greatest_recall, static_cast<std::size_t>(plot_width_ / 46));
    y_ = Scale::logarithmic(least_qps, greatest_qps);
  }

  std::string render() {
    const double height = plot_top + plot_height + 92 + legend_height();
    out_ = fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img" aria-label="{2}" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif">)"
        "\n",
        width, height, escape_xml(plot_.title));
    line(R"(<title>{}</title>)", escape_xml(plot_.title));
    line(R"(<rect x="0.5" y="0.5" width="{:.0f}" height="{:.0f}" rx="14" fill="#fff" stroke="#d8dce2"/>)",
         width - 1, height - 1);
    titles(height);
    axes();
    for (const auto& curve : curves_) draw_curve(curve);
    if (!nameless_) label_centres_.empty() ? legend() : labels();
    out_ += "</svg>\n";
    return std::move(out_);
  }

 private:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format(format, std::forward<Args>(args)...);
    out_ += '\n';
  }

  double px(double recall) const { return plot_left + x_.position(recall) * plot_width_; }
  double py(double qps) const { return plot_top + (1 - y_.position(qps)) * plot_height; }
  const Colour& colour(const Curve& curve) const { return colours[curve.style % colours.size()]; }

  // Names stand in a column beside the plot, in the order of the curves' ends, when there is room for the column.
  void place_labels(const Scale& y) {
    y_ = y;
    std::stable_sort(curves_.begin(), curves_.end(), [](const Curve& a, const Curve& b) {
      return a.points.back().qps > b.points.back().qps;
    });
    std::vector<double> wanted, heights;
    double widest = 0;
    for (const auto& curve : curves_) {
      wanted.push_back(py(curve.points.back().qps));
      heights.push_back(label_line * static_cast<double>(curve.label.size()) + 6);
      for (const auto& text : curve.label) widest = std::max(widest, text_width(text, label_size));
    }
    nameless_ = curves_.empty() || (curves_.size() == 1 && curves_[0].name == plot_.title);
    plot_width_ = width - plot_left - 36 - widest - 20;
    if (!nameless_ && plot_width_ >= least_plot_width)
      label_centres_ = spread_labels(wanted, heights, plot_top - 8, plot_top + plot_height + 8);
    if (label_centres_.empty()) plot_width_ = width - plot_left - 40;
  }

  void titles(double height) {
    line(R"(<text x="32" y="45" font-size="22" font-weight="700" fill="#1b1f24">{}</text>)",
         escape_xml(plot_.title));
    double y = 69;
    for (const auto& text : wrap(plot_.subtitle, 128)) {
      line(R"(<text x="32" y="{:.0f}" font-size="13.5" fill="#57606a">{}</text>)", y, escape_xml(text));
      y += 17;
    }
    if (!plot_.footer.empty()) {
      line(R"(<text x="32" y="{:.0f}" font-size="11.5" fill="#8a929b">{}</text>)", height - 16,
           escape_xml(plot_.footer));
    }
  }

  void axes() {
    const double right = plot_left + plot_width_, bottom = plot_top + plot_height;
    out_ += "<g stroke-width=\"1\">\n";
    for (const auto& tick : x_.ticks()) {
      line(R"(<line x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}" stroke="{3}"/>)", px(tick.value),
           plot_top, bottom, tick.label.empty() ? "#f3f4f6" : "#e6e8eb");
    }
    for (const auto& tick : y_.ticks()) {
      line(R"(<line x1="{1:.1f}" y1="{0:.1f}" x2="{2:.1f}" y2="{0:.1f}" stroke="{3}"/>)", py(tick.value),
           plot_left, right, tick.label.empty() ? "#f3f4f6" : "#e6e8eb");
    }
    line(R"(<path d="M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}" fill="none" stroke="#6e7781"/>)", plot_left, plot_top,
         bottom, right);
    out_ += "</g>\n<g font-size=\"13\" fill=\"#424a53\">\n";
    for (const auto& tick : x_.ticks()) {
      if (!tick.label.empty()) {
        line(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)", px(tick.value), bottom + 21,
             tick.label);
      }
    }
    for (const auto& tick : y_.ticks()) {
      if (!tick.label.empty()) {
        line(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>)", plot_left - 10,
             py(tick.value) + 4.5, tick.label);
      }
    }
    out_ += "</g>\n<g font-size=\"14\" fill=\"#24292f\" text-anchor=\"middle\">\n";
    line(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)", plot_left + plot_width_ / 2, bottom + 48,
         escape_xml(plot_.x_label));
    line(R"svg(<text transform="translate(34 {:.1f}) rotate(-90)">{}</text>)svg", plot_top + plot_height / 2,
         escape_xml(plot_.y_label));
    out_ += "</g>\n";
    // Which way is good, for those who see such a picture for the first time.
    line(R"(<text x="{:.1f}" y="{:.1f}" font-size="12" fill="#8a929b" text-anchor="end">better</text>)",
         right - 28, plot_top + 20);
    line(R"(<path d="M{0:.1f} {1:.1f}l11 -11m-7 0h7v7" fill="none" stroke="#8a929b" stroke-width="1.5"/>)",
         right - 23, plot_top + 21);
  }

  void draw_curve(const Curve& curve) {
    out_ += "<g>\n";
    if (curve.points.size() > 1) {
      std::string path;
      for (const auto& point : curve.points) {
        path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", px(point.recall), py(point.qps));
      }
      line(
          R"(<path d="{}" fill="none" stroke="{}" stroke-width="2.5" stroke-linejoin="round" stroke-linecap="round"/>)",
          path, colour(curve).line);
    }
    for (const auto& point : curve.points) {
      line("<g><title>{}{}{}: recall {:.4f}, {} queries/s</title>{}</g>", escape_xml(curve.name),
           point.note.empty() ? "" : ", ", escape_xml(point.note), point.recall, thousands(point.qps, 1),
           mark(curve.style, px(point.recall), py(point.qps)));
    }
    out_ += "</g>\n";
  }

  void name(const Curve& curve, double x, double centre) {
    const auto lines = static_cast<double>(curve.label.size());
    double y = centre - (lines - 1) * label_line / 2 + label_size * 0.36;
    for (const auto& text : curve.label) {
      line(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)", x, y, escape_xml(text));
      y += label_line;
    }
  }

  void labels() {
    const double x = plot_left + plot_width_ + 36;
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      const Curve& curve = curves_[i];
      const double end_x = px(curve.points.back().recall), end_y = py(curve.points.back().qps);
      line(
          R"(<path d="M{:.1f} {:.1f}L{:.1f} {:.1f}H{:.1f}" fill="none" stroke="{}" stroke-width="1" stroke-opacity="0.55" stroke-dasharray="1 3" stroke-linecap="round"/>)",
          end_x + 9, end_y, x - 20, label_centres_[i], x - 7, colour(curve).line);
      line(R"(<g font-size="{}" font-weight="600" fill="{}">)", label_size, colour(curve).text);
      name(curve, x, label_centres_[i]);
      out_ += "</g>\n";
    }
  }

  static constexpr std::size_t legend_columns = 2;
  double legend_height() const {
    if (!label_centres_.empty() || nameless_) return 0;
    const std::size_t rows = (curves_.size() + legend_columns - 1) / legend_columns;
    return 24.0 * static_cast<double>(rows) + 16;
  }

  void legend() {
    const double top = plot_top + plot_height + 78;
    for (std::size_t i = 0; i < curves_.size(); ++i) {
      const double x = plot_left + 430 * static_cast<double>(i % legend_columns);
      const std::size_t row = i / legend_columns;
      const double y = top + 24 * static_cast<double>(row);
      line(R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="2.5"/>)", x, y,
           x + 28, y, colour(curves_[i]).line);
      out_ += mark(curves_[i].style, x + 14, y) + "\n";
      line(R"(<text x="{:.1f}" y="{:.1f}" font-size="{}" fill="{}">{}</text>)", x + 38, y + 5, label_size,
           colour(curves_[i]).text, escape_xml(curves_[i].name));
    }
  }

  const RecallPlot& plot_;
  std::vector<Curve> curves_;
  double plot_width_ = least_plot_width;
  Scale x_ = Scale::recall(0.9, 0.99, 10);
  Scale y_ = Scale::logarithmic(1, 10);
  bool nameless_ = false;              // a single curve that the title names
  std::vector<double> label_centres_;  // of curves_; empty: a legend instead
  std::string out_;
};

}  // namespace

std::string render_svg(const RecallPlot& plot) { return Drawing(plot).render(); }

}  // namespace vicinal::tools
