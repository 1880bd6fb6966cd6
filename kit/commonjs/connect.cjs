module.exports = require('../dist/resource-server/connect.js')
