"""A shop in Django whose failures go to retryd."""
