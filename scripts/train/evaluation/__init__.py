"""The evaluation set and its scoring: recordings and faults that the detector was not trained on.

Everything here follows the definitions of the six labels, and shares no code with the training injector. So a
model that learned the habits of one injector instead of the faults fails on the other.
"""
