#pragma once

#include <string>
#include <vector>

namespace vicinal::tools {

/// A mark on an axis.
struct Tick {
  double value = 0;
  std::string label;  ///< empty: a fine grid line without a number
};

/// An axis: a monotone map from values to [0, 1] and the ticks that suit it.
class Scale {
 public:
  /// Stretched towards 1, so that 0.9, 0.99 and 0.999 are about equally far apart while 1 itself stays on the axis. Runs from the
  /// last round value below `least` to the first above `greatest`. `room` is how many tick labels fit side by side.
  static Scale recall(double least, double greatest, std::size_t room);
  /// Logarithmic, with some air at both ends; 0 < least <= greatest.
  static Scale logarithmic(double least, double greatest);

  [[nodiscard]] double position(double value) const;
  [[nodiscard]] const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  using Transform = double (*)(double);
  Scale(Transform transform, double from, double to)
      : transform_(transform), from_(transform(from)), to_(transform(to)) {}

  Transform transform_;
  double from_;
  double to_;
  std::vector<Tick> ticks_;
};

/// Centres for labels of the given heights, in the order given, as near as possible (least squares) to where they want to be
/// without overlapping and within [top, bottom]. Empty when they do not fit.
std::vector<double> spread_labels(const std::vector<double>& wanted, const std::vector<double>& heights,
                                  double top, double bottom);

}  // namespace vicinal::tools
