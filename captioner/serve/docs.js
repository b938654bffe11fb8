// Swagger UI shows /openapi.json, checked by nobody else. It may send no request itself: it would fill in every setting.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null, supportedSubmitMethods: [] });
