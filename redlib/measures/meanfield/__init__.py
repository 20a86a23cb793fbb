"""Mean-field theory of random nets, what it says of masked ones, and the same quantities of a given net.

Pre-activations are h = Wφ(h below) + b, with W ~ N(0, σ_w²/N_in) and b ~ N(0, σ_b²). In a wide net they are Gaussian: q
is their variance, c the correlation of those of two inputs (Poole et al. 2016), and a layer multiplies the variance
of a small perturbation by χ. `sigma_w` and `sigma_b` are standard deviations, as in `nets.mean_field`; variances are in
squared units of the pre-activations. φ is tanh, relu, erf (of h, not of h/√2) or linear.

`moments` has the means of activations, `theory` the maps and their fixed points, `weights` what they say of given
weights, `signals` what is measured in a net, which `chains` takes apart, and `looks` all of it by name; `simulation`
draws wide nets. Theory takes
numbers or NumPy arrays, which broadcast, and returns float64.

A given net is a StackedMLP, an nn.Sequential (which may be nested) or several of one shape, its replicates. Masks are
those of `pruning`, in the order of the layers: bool [R, *shape of the weight], or None for a dense layer. All is
computed in float64, and results are [R, ...], replicates first, then layers, then inputs.
"""

from redlib.measures.meanfield.chains import LAYERS, Net
from redlib.measures.meanfield.moments import MOMENTS, Activation, Floats
from redlib.measures.meanfield.signals import (
    empirical_c,
    empirical_chi,
    empirical_q,
    jacobian,
    jacobian_spectrum,
    match_chi,
    spectrum_summary,
)
from redlib.measures.meanfield.simulation import simulated_q
from redlib.measures.meanfield.theory import (
    c_fixed_point,
    c_map,
    c_profile,
    chi,
    chi_1,
    depth_scales,
    edge_of_chaos,
    magnitude_second_moment,
    q_fixed_point,
    q_map,
    q_profile,
    resnet_q_map,
    resnet_q_profile,
)
from redlib.measures.meanfield.weights import LAWS, Law, PerLayer, layer_sigmas, predicted_q, unit_q

__all__ = [
    "Activation",
    "Floats",
    "LAWS",
    "LAYERS",
    "Law",
    "MOMENTS",
    "Net",
    "PerLayer",
    "c_fixed_point",
    "c_map",
    "c_profile",
    "chi",
    "chi_1",
    "depth_scales",
    "edge_of_chaos",
    "empirical_c",
    "empirical_chi",
    "empirical_q",
    "jacobian",
    "jacobian_spectrum",
    "layer_sigmas",
    "match_chi",
    "magnitude_second_moment",
    "predicted_q",
    "q_fixed_point",
    "q_map",
    "q_profile",
    "resnet_q_map",
    "resnet_q_profile",
    "simulated_q",
    "spectrum_summary",
    "unit_q",
]
