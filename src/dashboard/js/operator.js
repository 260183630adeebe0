// What an operator looks at: sales, servers, audits.
