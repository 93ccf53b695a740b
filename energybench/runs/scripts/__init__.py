"""A script that measures itself: `energybench.measure`, its phases and epochs, and its record."""
